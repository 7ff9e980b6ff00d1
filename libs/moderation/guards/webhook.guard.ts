import { webhookHeaders } from '#libs/secrets/webhook.js';
import type { Content } from '#libs/endpoints/content.js';
import {
  GuardUnavailableError,
  readVerdict,
  wellFormedContents,
  type Guard,
  type GuardContext,
  type GuardVerdict,
} from './guard.js';

/** It refuses the content. Any other status says only that it is away. */
const REFUSALS = new Set([400, 413, 415, 422]);
const ANSWER_BYTES_MAX = 1_048_576;

export interface WebhookGuardOptions {
  url: string;
  secret: string;
  /** Connecting and answering, together. */
  timeoutMs: number;
}

/**
 * Asks the operator's own service: sends content and context in a signed message, and reads a verdict in the answer.
 */
export class WebhookGuard implements Guard {
  readonly model = 'webhook';

  constructor(
    readonly name: string,
    private readonly options: WebhookGuardOptions,
  ) {}

  async check(
    contents: readonly Content[],
    { requestId, keyId, campaignId, model, direction }: GuardContext,
  ): Promise<GuardVerdict> {
    const { url, secret, timeoutMs } = this.options;
    const body = JSON.stringify({
      guard: this.name,
      direction,
      content: wellFormedContents(contents),
      context: { request: requestId, key: keyId, campaign: campaignId, model },
    });
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: webhookHeaders(`${requestId}.${direction}`, body, secret),
        body,
        redirect: 'error',
        signal,
      });
      const text = await readText(response);
      if (!response.ok)
        throw new GuardUnavailableError(`it answered ${response.status}`, REFUSALS.has(response.status));
      return readVerdict(parsed(text), this.name);
    } catch (error) {
      if (error instanceof GuardUnavailableError) throw error;
      throw new GuardUnavailableError(
        signal.aborted ? `it did not answer within ${timeoutMs} ms` : 'it could not be reached',
      );
    }
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    const piece = chunk as Uint8Array;
    bytes += piece.length;
    if (bytes > ANSWER_BYTES_MAX) throw new GuardUnavailableError('its answer is too long', true);
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new GuardUnavailableError('its answer is not JSON');
  }
}
