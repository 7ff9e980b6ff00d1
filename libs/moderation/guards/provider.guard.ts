import type { Content } from '#libs/endpoints/content.js';
import { mergedResult } from '../verdict-cache.js';
import { isResult, judge, type ModerationResult } from '../verdict.js';
import { GuardUnavailableError, PASSED, type Guard, type GuardContext, type GuardVerdict } from './guard.js';

export const PROVIDER_GUARD = 'provider';

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const list = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** Whether a completion, or a chunk of one, holds a verdict of the provider's own. */
export function hasOwnVerdict(answer: Json): boolean {
  return (
    isObject(answer.moderation) ||
    Array.isArray(answer.prompt_filter_results) ||
    list(answer.choices).some((choice) => isObject(choice.content_filter_results))
  );
}

/**
 * What the provider itself said of a call, input and output: OpenAI's `moderation` object, where a call asked for it (read by
 * the call's thresholds), and the content filter results of Azure OpenAI (where it filtered, it is flagged).
 */
export class ProviderGuard implements Guard {
  readonly name = PROVIDER_GUARD;
  readonly model = 'provider';

  check(_: readonly Content[], { policy, provider }: GuardContext): Promise<GuardVerdict> {
    const results: ModerationResult[] = [];
    const filtered = new Set<string>();
    for (const answer of provider) {
      if (isObject(answer.moderation))
        for (const side of ['input', 'output']) results.push(...inlineResults(answer.moderation[side]));
      const filters = [...list(answer.prompt_filter_results), ...list(answer.choices)].map(
        (one) => one.content_filter_results,
      );
      for (const filter of filters) for (const name of filteredBy(filter)) filtered.add(name);
    }
    if (results.length === 0 && filtered.size === 0) return Promise.resolve(PASSED);
    const { flagged, categories, scores } = judge(results.length > 0 ? [mergedResult(results)] : [], policy);
    return Promise.resolve({
      ...PASSED,
      flagged: flagged || filtered.size > 0,
      categories: [...new Set([...categories, ...filtered])].sort(),
      scores,
    });
  }
}

/** @throws GuardUnavailableError where the provider says that it could not judge */
function inlineResults(side: unknown): ModerationResult[] {
  if (!isObject(side)) return [];
  if (side.type === 'error') throw new GuardUnavailableError("the provider's own moderation failed");
  return list(side.results).flatMap((result: unknown) => (isResult(result) ? [result] : []));
}

/** Azure: each filter tells whether it `filtered`; some tell what they `detected`, with custom block lists among them. */
function filteredBy(filter: unknown): string[] {
  if (!isObject(filter)) return [];
  return Object.entries(filter).flatMap(([name, found]) => (isObject(found) && found.filtered === true ? [name] : []));
}
