import type { Metered, TextMetered } from '#libs/money/cost.js';
import { usageIn } from '../usage.js';

const NAMES = { input: 'prompt_tokens', output: 'completion_tokens', details: 'prompt_tokens_details' };

/**
 * Reads the `usage` object of a chat completion; null when it is missing or not what OpenAI documents. Reasoning, accepted
 * and rejected prediction tokens are parts of the completion's, image and text tokens of the prompt's; audio is refused.
 */
export const readUsage = (value: unknown): TextMetered | null => usageIn(value, NAMES);

/** A usage object of what Daypass counted, where the upstream reported none. */
export function writtenUsage({ input = 0, output = 0 }: Metered): Record<string, number> {
  return { prompt_tokens: input, completion_tokens: output, total_tokens: input + output };
}
