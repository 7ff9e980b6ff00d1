import type { Metered } from '#libs/money/cost.js';

/**
 * Reads the `usage` object of a chat completion; null when it is missing or not what OpenAI documents. Reasoning, accepted
 * and rejected prediction tokens are parts of the completion's, image and text tokens of the prompt's; audio is refused.
 */
export function readUsage(value: unknown): Required<Metered> | null {
  if (typeof value !== 'object' || value === null) return null;
  const usage = value as Record<string, unknown>;
  const details = (usage.prompt_tokens_details ?? {}) as Record<string, unknown>;
  const input = tokens(usage.prompt_tokens);
  const completion = tokens(usage.completion_tokens);
  if (input === null || completion === null) return null;
  // Some compatible upstreams count reasoning in the total alone, and bill it as output.
  const output = Math.max(completion, (tokens(usage.total_tokens) ?? 0) - input);
  return {
    input,
    cached: tokens(details.cached_tokens) ?? 0,
    cacheWrite: tokens(details.cache_write_tokens) ?? 0,
    output,
  };
}

function tokens(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** A usage object of what Daypass counted, where the upstream reported none. */
export function writtenUsage({ input = 0, output = 0 }: Metered): Record<string, number> {
  return { prompt_tokens: input, completion_tokens: output, total_tokens: input + output };
}
