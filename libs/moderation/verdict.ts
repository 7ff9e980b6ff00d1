import type { CallPolicy } from '#libs/contracts/policy.js';

/** One result of the moderation endpoint; `illicit*` may be null, and images score only some categories (OpenAI, "Moderation"). */
export interface ModerationResult {
  flagged: boolean;
  categories: Readonly<Record<string, boolean | null>>;
  category_scores: Readonly<Record<string, number | null>>;
}

export interface Judgement {
  flagged: boolean;
  /** The categories that made it flagged, sorted. */
  categories: string[];
  /** The highest score of each category over everything that was judged. */
  scores: Record<string, number>;
}

/** Decides over all results of one direction of one call. A category with a threshold is judged by it alone, the rest by the model's own flag. */
export function judge(
  results: readonly ModerationResult[],
  { thresholds, flagsToo }: Pick<CallPolicy, 'thresholds' | 'flagsToo'>,
): Judgement {
  const hit = new Set<string>();
  const scores: Record<string, number> = {};
  for (const result of results) {
    for (const [category, score] of Object.entries(result.category_scores)) {
      if (typeof score !== 'number') continue;
      scores[category] = Math.max(score, scores[category] ?? 0);
      const threshold = thresholds[category];
      if (threshold !== undefined && score >= threshold) hit.add(category);
    }
    for (const [category, flagged] of Object.entries(result.categories)) {
      if (flagged === true && (thresholds[category] === undefined || flagsToo?.includes(category))) hit.add(category);
    }
  }
  return { flagged: hit.size > 0, categories: [...hit].sort(), scores };
}

/** Whether it is what the endpoint says of one input. */
export function isResult(value: unknown): value is ModerationResult {
  if (typeof value !== 'object' || value === null) return false;
  const { flagged, categories, category_scores: scores } = value as Record<string, unknown>;
  return (
    typeof flagged === 'boolean' &&
    typeof categories === 'object' &&
    categories !== null &&
    typeof scores === 'object' &&
    scores !== null
  );
}
