import { z } from 'zod';
import type { Direction } from '#libs/contracts/audit.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { ProviderVerdict } from '#libs/endpoints/endpoint.js';
import type { ModerationResult } from '../verdict.js';

/** Whose content the guard judges, and under which policy. */
export interface GuardContext {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** The model that reads, or wrote, the content. */
  model: string;
  direction: Direction;
  policy: CallPolicy;
  /** These contents never come again, so that nobody needs to keep the verdict on them. */
  passing: boolean;
  /** The provider's own verdicts, which came with an output. */
  provider: readonly ProviderVerdict[];
}

export interface GuardVerdict {
  flagged: boolean;
  /** Why it is flagged; the visitor sees them. */
  categories: string[];
  /** From 0 to 1, by category. */
  scores: Record<string, number>;
  /** What Daypass takes out before the content goes on. */
  redactions: Replacement[];
  /** The moderation endpoint's results, section by section. */
  results?: readonly ModerationResult[];
}

/** Judges content. Where it throws, or does not answer, the policy decides what follows. */
export interface Guard {
  readonly name: string;
  /** What judges: a model, or the guard's kind. */
  readonly model: string;
  check(content: readonly Content[], context: GuardContext): Promise<GuardVerdict>;
}

/** Contents for code that is not Daypass's own, which may be unable to read a lone surrogate. */
export function wellFormedContents(contents: readonly Content[]): Content[] {
  return contents.map((content) =>
    content.kind === 'image'
      ? { ...content, url: content.url.toWellFormed() }
      : {
          ...content,
          text: content.text.toWellFormed(),
          ...(content.joined === undefined ? {} : { joined: content.joined.toWellFormed() }),
        },
  );
}

/** The guard gave no verdict. The policy decides what follows, unless this content or this key is the cause. */
export class GuardUnavailableError extends Error {
  constructor(
    reason: string,
    /** This content, or what else its key sends, is the cause; otherwise the guard is only away. */
    readonly refused = false,
    /** Refused only for now: after so long the guard may judge it. */
    readonly retryAfterMs?: number,
  ) {
    super(reason);
    this.name = 'GuardUnavailableError';
  }
}

const CATEGORIES_MAX = 50;
const REDACTIONS_MAX = 10_000;
/** Of all that is to be found, together. */
const REDACTED_CHARACTERS_MAX = 300_000;
/** The bound covers the call as its visitor sent it, so that a replacement must not make a text longer. */
const REPLACE_LENGTH = 16;

/** The verdict of an operator's own module or webhook. Any other answer is no verdict. */
const answerSchema = z.object({
  flagged: z.boolean(),
  categories: z.array(z.string().min(1).max(100)).max(CATEGORIES_MAX).default([]),
  scores: z.record(z.string().max(100), z.number()).default({}),
  redactions: z
    .array(
      z
        .object({ find: z.string().min(1), replace: z.string() })
        .refine(({ find, replace }) => replace.length <= Math.max(find.length, REPLACE_LENGTH)),
    )
    .max(REDACTIONS_MAX)
    .refine((all) => all.reduce((sum, { find }) => sum + find.length, 0) <= REDACTED_CHARACTERS_MAX)
    .default([]),
});

/**
 * @throws GuardUnavailableError where it is no verdict. The error does not quote the answer, which may hold content.
 *   The guard is not away then: content can make its answer break a bound. So no policy lets the content through.
 */
export function readVerdict(answer: unknown, guard: string): GuardVerdict {
  const parsed = answerSchema.safeParse(answer);
  if (!parsed.success)
    throw new GuardUnavailableError(
      `its answer is no verdict (${parsed.error.issues[0]!.path.join('.') || 'not an object'})`,
      true,
    );
  const verdict = parsed.data;
  return { ...verdict, categories: verdict.flagged && verdict.categories.length === 0 ? [guard] : verdict.categories };
}

/**
 * One verdict for all parts of a content.
 *
 * @throws GuardUnavailableError where they have more findings than one may have
 */
export function joinedVerdict(verdicts: readonly GuardVerdict[]): GuardVerdict {
  if (verdicts.length === 1) return verdicts[0]!;
  const redactions = new Map(verdicts.flatMap((verdict) => verdict.redactions.map((one) => [one.find, one] as const)));
  const characters = [...redactions.keys()].reduce((sum, find) => sum + find.length, 0);
  if (redactions.size > REDACTIONS_MAX || characters > REDACTED_CHARACTERS_MAX)
    throw new GuardUnavailableError(`it found more than ${REDACTIONS_MAX} things to take out, or too long ones`, true);
  const scores: Record<string, number> = {};
  for (const verdict of verdicts)
    for (const [category, score] of Object.entries(verdict.scores))
      scores[category] = Math.max(score, scores[category] ?? score);
  return {
    flagged: verdicts.some(({ flagged }) => flagged),
    categories: [...new Set(verdicts.flatMap(({ categories }) => categories))].sort(),
    scores,
    redactions: [...redactions.values()].sort((a, b) => b.find.length - a.find.length),
  };
}

export const PASSED: GuardVerdict = { flagged: false, categories: [], scores: {}, redactions: [] };

export const flagged = (...categories: string[]): GuardVerdict => ({ ...PASSED, flagged: true, categories });
