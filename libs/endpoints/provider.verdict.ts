import type { ProviderVerdict } from './endpoint.js';
import { isObject, type JsonObject } from './json.js';

/** What the provider says of an answer; `filtered`: what its filters looked at. Empty: it says nothing. */
export function verdictsIn({ moderation }: JsonObject, filtered: readonly unknown[]): ProviderVerdict[] {
  const sides = isObject(moderation) ? [moderation.input, moderation.output].filter(isObject) : [];
  const filters = filtered.flatMap((one) =>
    isObject(one) && isObject(one.content_filter_results) ? [one.content_filter_results] : [],
  );
  return sides.length > 0 || filters.length > 0 ? [{ moderation: sides, filters }] : [];
}
