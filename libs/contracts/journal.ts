import { z } from 'zod';

/** The upstream that OPENAI_API_KEY and OPENAI_BASE_URL name. */
export const FIRST_UPSTREAM = 'openai';

const nano = z.string().regex(/^\d+$/);

/**
 * One entry of the journal, which the script that moves the money writes. Amounts are nano-dollars. The visitor pays
 * `paid`, and the operator absorbs `absorbed` beyond the bound. `dispatch` and `defer` move no money: from them
 * accounting knows which calls a worker sent, where Redis lost them. `strike` moves no money either: it has the
 * consequences of a refused call.
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
  /** The attempt that was dispatched, or deferred. */
  attempt: z.coerce.number().int().min(0).max(1_000_000).default(0),
  /** The number of a strike within the policy's window; `step`: what follows from it. */
  strikes: z.coerce.number().int().min(0).default(0),
  step: z.enum(['', 'warn', 'cooldown', 'suspend']).default(''),
  /** Until when the key rests, milliseconds since the epoch; 0: it does not. */
  until_ms: z.coerce.number().int().min(0).default(0),
  /** The upstream that the call went to; '': the first. */
  upstream: z.string().default(''),
  /** '1': the key's time to live began with this hold. */
  first_use: z.enum(['0', '1']).default('0'),
  /** Redis' clock, milliseconds since the epoch. */
  at_ms: z.coerce.number().int(),
  /** JSON: model, usage, verdicts, reason. Never content. */
  detail: z.string().default('{}'),
});
export type JournalEvent = z.infer<typeof journalEventSchema>;

export const JOURNAL_GROUP = 'accounting';
