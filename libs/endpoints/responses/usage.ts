import type { Metered, TextMetered } from '#libs/money/cost.js';
import { isObject, type JsonObject } from '../json.js';
import { countIn, usageIn } from '../usage.js';

const NAMES = { input: 'input_tokens', output: 'output_tokens', details: 'input_tokens_details' };

/**
 * Reads the `usage` object of a response; null when it is missing or not what OpenAI documents. Reasoning tokens are part of
 * the output's.
 */
export const readUsage = (value: unknown): TextMetered | null => usageIn(value, NAMES);

/** A usage object of what was booked. */
export function writtenUsage({ input = 0, cached = 0, cacheWrite = 0, output = 0 }: Metered): JsonObject {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: cacheWrite },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
}

/** Tokens of what a model thought. undefined: nobody told, as some compatible upstreams, which say 0. */
export function reasoningTokens(usage: unknown): number | undefined {
  const details = isObject(usage) ? usage.output_tokens_details : undefined;
  return (isObject(details) ? countIn(details.reasoning_tokens) : null) || undefined;
}

/** Hosted searches, each of which has a fee. undefined: nobody told. */
export function searchesIn(toolUsage: unknown): number | undefined {
  const searches = isObject(toolUsage) ? toolUsage.web_search : undefined;
  return (isObject(searches) ? countIn(searches.num_requests) : null) ?? undefined;
}

/**
 * What the model of images used. Its words count as its images do, which cost at least as much: a call has one price for all
 * of its images. null: nobody told.
 */
export function readImages(toolUsage: unknown): Metered | null {
  const drawn = isObject(toolUsage) ? toolUsage.image_gen : undefined;
  if (!isObject(drawn)) return null;
  const input = countIn(drawn.input_tokens);
  const output = countIn(drawn.output_tokens);
  return input === null || output === null ? null : { imageInput: input, imageOutput: output };
}
