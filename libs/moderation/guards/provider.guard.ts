import type { Content } from '#libs/endpoints/content.js';
import { isObject } from '#libs/endpoints/json.js';
import { mergedResult } from '../verdict-cache.js';
import { isResult, judgementOf, type ModerationResult } from '../verdict.js';
import { GuardUnavailableError, PASSED, type Guard, type GuardContext, type GuardVerdict } from './guard.js';

const PROVIDER_GUARD = 'provider';

/**
 * Reads the provider's own verdicts on a call's input and output. The call's thresholds decide on results of OpenAI's
 * moderation, where the call asked for it. Content that a filter of Azure OpenAI caught is flagged.
 */
export class ProviderGuard implements Guard {
  readonly name = PROVIDER_GUARD;
  readonly model = 'provider';

  check(_: readonly Content[], { policy, provider }: GuardContext): Promise<GuardVerdict> {
    const results: ModerationResult[] = [];
    const filtered = new Set<string>();
    for (const { moderation, filters } of provider) {
      for (const side of moderation) results.push(...inlineResults(side));
      for (const filter of filters) for (const name of filteredBy(filter)) filtered.add(name);
    }
    if (results.length === 0 && filtered.size === 0) return Promise.resolve(PASSED);
    const { flagged, categories, scores } = judgementOf(results.length > 0 ? [mergedResult(results)] : [], policy);
    return Promise.resolve({
      ...PASSED,
      flagged: flagged || filtered.size > 0,
      categories: [...new Set([...categories, ...filtered])].sort(),
      scores,
    });
  }
}

/** A list of results, or one result. @throws GuardUnavailableError where the provider could not judge */
function inlineResults(side: unknown): ModerationResult[] {
  if (!isObject(side)) return [];
  if (side.type === 'error') throw new GuardUnavailableError("the provider's own moderation failed");
  const results: unknown[] = Array.isArray(side.results) ? side.results : [side];
  return results.flatMap((result) => (isResult(result) ? [result] : []));
}

/** Azure: each filter has `filtered`, and some have `detected`, such as custom block lists. */
function filteredBy(filter: unknown): string[] {
  if (!isObject(filter)) return [];
  return Object.entries(filter).flatMap(([name, found]) => (isObject(found) && found.filtered === true ? [name] : []));
}
