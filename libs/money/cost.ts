import type { ModelPrice, Rates } from '#libs/contracts/jobs.js';

/** Tokens that an upstream reported, or that were counted in its place. `cached` and `cacheWrite` are parts of `input`. */
export interface Usage {
  input: number;
  cached: number;
  cacheWrite: number;
  output: number;
}

/** What a service tier costs in hundredths of the standard price (OpenAI, "Pricing": flex 0.5, priority 2; `fast` is another word for it). */
export const TIER_PERCENT: Readonly<Record<string, number>> = { default: 100, flex: 50, priority: 200, fast: 200 };

/** The rates that hold for a request of this many input tokens: long context is dearer for the whole request. */
export function ratesFor(price: ModelPrice, inputTokens: number): Rates {
  return price.long && inputTokens > price.long.aboveTokens ? price.long : price;
}

/** The true cost in nano-dollars, rounded up to a whole one where a service tier halves an odd price. */
export function costOf(price: ModelPrice, usage: Usage, tierPercent = 100): bigint {
  const rates = ratesFor(price, usage.input);
  const cached = Math.min(usage.cached, usage.input);
  const cacheWrite = Math.min(usage.cacheWrite, usage.input - cached);
  const plain = usage.input - cached - cacheWrite;
  const full =
    BigInt(plain) * BigInt(rates.input) +
    BigInt(cached) * BigInt(rates.cachedInput) +
    BigInt(cacheWrite) * BigInt(rates.cacheWrite) +
    BigInt(usage.output) * BigInt(rates.output);
  return (full * BigInt(tierPercent) + 99n) / 100n;
}

/**
 * Reads the `usage` object of a chat completion; null when it is missing or not what OpenAI documents. Reasoning, accepted
 * and rejected prediction tokens are parts of the completion's, image and text tokens of the prompt's; audio is refused.
 */
export function readChatUsage(value: unknown): Usage | null {
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
