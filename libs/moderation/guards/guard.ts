import { z } from 'zod';
import type { Direction } from '#libs/contracts/audit.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { ModerationResult } from '../verdict.js';

/** Whose content is judged, and how. */
export interface GuardContext {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** The model that reads, or wrote, the content. */
  model: string;
  direction: Direction;
  policy: CallPolicy;
  /** These very contents never come again, so that a verdict on them need not be remembered. */
  passing: boolean;
  /** Of an output: what the provider said beside it, such as its own verdicts. */
  provider: readonly Record<string, unknown>[];
}

export interface GuardVerdict {
  flagged: boolean;
  /** What made it so; shown to the visitor. */
  categories: string[];
  /** From 0 to 1, by category. */
  scores: Record<string, number>;
  /** What is to be taken out before the content goes on. */
  redactions: Replacement[];
  /** What the moderation endpoint said, piece by piece. */
  results?: readonly ModerationResult[];
}

/** One look at content. Whatever it throws, and its silence, is an outcome that the policy decides on. */
export interface Guard {
  readonly name: string;
  /** What judges: a model, or the guard's kind. */
  readonly model: string;
  check(content: readonly Content[], context: GuardContext): Promise<GuardVerdict>;
}

/** No verdict could be had; what happens then is the policy's to say. */
export class GuardUnavailableError extends Error {
  constructor(
    reason: string,
    /** It will never judge this very content, rather than being away. */
    readonly refused = false,
  ) {
    super(reason);
    this.name = 'GuardUnavailableError';
  }
}

const CATEGORIES_MAX = 50;
const REDACTIONS_MAX = 10_000;
/** A call is paid for as it was asked, so that what stands in for a text must not make it longer. */
const REPLACE_LENGTH = 16;

/** What an operator's own module, or webhook, answers. Anything else is no verdict. */
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
    .default([]),
});

/** @throws GuardUnavailableError where it is no verdict, without quoting it: it may hold content */
export function readVerdict(answer: unknown, guard: string): GuardVerdict {
  const parsed = answerSchema.safeParse(answer);
  if (!parsed.success)
    throw new GuardUnavailableError(
      `its answer is no verdict (${parsed.error.issues[0]!.path.join('.') || 'not an object'})`,
    );
  const verdict = parsed.data;
  return { ...verdict, categories: verdict.flagged && verdict.categories.length === 0 ? [guard] : verdict.categories };
}

export const PASSED: GuardVerdict = { flagged: false, categories: [], scores: {}, redactions: [] };

export const flagged = (...categories: string[]): GuardVerdict => ({ ...PASSED, flagged: true, categories });
