import type { CallPolicy } from '#libs/contracts/policy.js';

/**
 * One result of the moderation endpoint. `illicit*` may be null, and images have only some scores (OpenAI,
 * "Moderation").
 */
export interface ModerationResult {
  flagged: boolean;
  categories: Readonly<Record<string, boolean | null>>;
  category_scores: Readonly<Record<string, number | null>>;
}

interface Judgement {
  flagged: boolean;
  /** The categories that flagged it, sorted. */
  categories: string[];
  /** The highest score of each category over all results. */
  scores: Record<string, number>;
}

/**
 * Judges by all results on one direction of a call. A threshold alone decides on its category; the model's own flag
 * decides on all others.
 */
export function judgementOf(
  results: readonly ModerationResult[],
  { thresholds, flagsToo }: Pick<CallPolicy, 'thresholds' | 'flagsToo'>,
): Judgement {
  const hit = new Set<string>();
  // The provider names the categories, and every object has a `constructor`.
  const thresholdOf = (category: string): number | undefined =>
    Object.hasOwn(thresholds, category) ? thresholds[category] : undefined;
  // Without a prototype: a category may be called as one of its properties.
  const scores = Object.create(null) as Record<string, number>;
  for (const result of results) {
    for (const [category, score] of Object.entries(result.category_scores)) {
      if (typeof score !== 'number' || !Number.isFinite(score)) continue;
      scores[category] = Math.max(score, scores[category] ?? 0);
      const threshold = thresholdOf(category);
      if (threshold !== undefined && score >= threshold) hit.add(category);
    }
    for (const [category, flagged] of Object.entries(result.categories)) {
      if (flagged === true && (thresholdOf(category) === undefined || flagsToo?.includes(category))) hit.add(category);
    }
  }
  return { flagged: hit.size > 0, categories: [...hit].sort(), scores };
}

/** Whether a value is a result of the moderation endpoint. */
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
