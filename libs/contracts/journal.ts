import { z } from 'zod';

/** The upstream that OPENAI_API_KEY and OPENAI_BASE_URL name. */
export const FIRST_UPSTREAM = 'openai';

const nano = z.string().regex(/^\d+$/);

/**
 * One entry of the journal, written by the same script that moved the money. Amounts are nano-dollars.
 * `paid` is what the visitor pays, `absorbed` what the operator pays beyond the bound. `dispatch` and `defer` move no money:
 * they say which calls were sent, so that what Redis forgot is ended by what really happened. Nor does `strike`: it says what a
 * refused input has for consequences.
 */
export const journalEventSchema = z.object({
  kind: z.enum(['hold', 'dispatch', 'defer', 'post', 'void', 'presume', 'correct', 'strike']),
  request: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  /** The held amount. */
  amount: nano,
  paid: nano,
  absorbed: nano,
  /** UTC days since 1970: the day of the operator's budget that the call counts against; 0 where nobody knows. */
  day: z.coerce.number().int().min(0).max(1_000_000).default(0),
  /** Which attempt was dispatched, or deferred. */
  attempt: z.coerce.number().int().min(0).max(1_000_000).default(0),
  /** Of a strike: which it is within the window, and what follows from it. */
  strikes: z.coerce.number().int().min(0).default(0),
  step: z.enum(['', 'warn', 'cooldown', 'suspend']).default(''),
  /** Until when the key rests, milliseconds since the epoch; 0: it does not. */
  until_ms: z.coerce.number().int().min(0).default(0),
  /** Which upstream an end is owed to; '' where nobody knows: the first. */
  upstream: z.string().default(''),
  /** Redis' clock, milliseconds since the epoch. */
  at_ms: z.coerce.number().int(),
  /** JSON: model, usage, verdicts, reason. Never content. */
  detail: z.string().default('{}'),
});
export type JournalEvent = z.infer<typeof journalEventSchema>;

export const JOURNAL_GROUP = 'accounting';
