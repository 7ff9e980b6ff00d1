import type OpenAI from 'openai';
import type { ClientOptions } from 'openai';

/**
 * The official client, for the provider's reports, limits and cases. It is loaded with the first question: many
 * installations ask none, and it takes 8 MB. The environment adds nothing to these options.
 */
export function providerClient(options: ClientOptions): () => Promise<OpenAI> {
  let client: Promise<OpenAI> | undefined;
  return () => (client ??= made(options));
}

async function made(options: ClientOptions): Promise<OpenAI> {
  const { default: Client } = await import('openai');
  return new Client({ organization: null, project: null, ...options });
}
