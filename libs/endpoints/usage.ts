import type { TextMetered } from '#libs/money/cost.js';
import { isObject } from './json.js';

/** What a usage object calls its counts. `details`: those of the input. */
export interface UsageNames {
  input: string;
  output: string;
  details: string;
}

/** Reads a `usage` object with a total; null when it is missing or not what OpenAI documents. */
export function usageIn(value: unknown, names: UsageNames): TextMetered | null {
  if (!isObject(value)) return null;
  const input = countIn(value[names.input]);
  const counted = countIn(value[names.output]);
  if (input === null || counted === null) return null;
  const details = value[names.details];
  const { cached_tokens: cached, cache_write_tokens: cacheWrite } = isObject(details) ? details : {};
  return {
    input,
    cached: countIn(cached) ?? 0,
    cacheWrite: countIn(cacheWrite) ?? 0,
    // Some compatible upstreams count reasoning in the total alone, and bill it as output.
    output: Math.max(counted, (countIn(value.total_tokens) ?? 0) - input),
  };
}

/** null: no count. */
export function countIn(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
