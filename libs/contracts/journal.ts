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

/** The event of an entry, or why the entry is none. */
export function readJournalEvent(fields: Record<string, string>): { event: JournalEvent } | { reason: string } {
  const event = commonJournalEvent(fields);
  if (event) return { event };
  const read = journalEventSchema.safeParse(fields);
  if (read.success) return { event: read.data };
  return { reason: read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') };
}

const COMMON_KINDS: ReadonlySet<string> = new Set(
  journalEventSchema.shape.kind.options.filter((kind) => kind !== 'strike'),
);
const OF_STRIKES = ['strikes', 'step', 'until_ms'] as const;
const AMOUNT = /^\d+$/;
const COUNT = /^\d{1,6}$/;
const TIME_MS = /^\d{1,15}$/;

/** What the schema makes of an entry as our scripts write it. undefined: only the schema can tell, and takes longer. */
export function commonJournalEvent(fields: Record<string, string>): JournalEvent | undefined {
  const { kind = '', request, key, campaign, amount = '', paid = '', absorbed = '', at_ms: atMs = '' } = fields;
  const { day = '0', attempt = '0', upstream = '', first_use: firstUse = '0', detail = '{}' } = fields;
  if (!COMMON_KINDS.has(kind) || !request || !key || !campaign || OF_STRIKES.some((name) => name in fields))
    return undefined;
  if (!AMOUNT.test(amount) || !AMOUNT.test(paid) || !AMOUNT.test(absorbed)) return undefined;
  if (!COUNT.test(day) || !COUNT.test(attempt) || !TIME_MS.test(atMs)) return undefined;
  if (firstUse !== '0' && firstUse !== '1') return undefined;
  return {
    kind: kind as JournalEvent['kind'],
    request,
    key,
    campaign,
    amount,
    paid,
    absorbed,
    day: Number(day),
    attempt: Number(attempt),
    strikes: 0,
    step: '',
    until_ms: 0,
    upstream,
    first_use: firstUse,
    at_ms: Number(atMs),
    detail,
  };
}

export const JOURNAL_GROUP = 'accounting';
