import { z } from 'zod';

const nano = z.string().regex(/^\d+$/);

/**
 * One entry of the journal, written by the same script that moved the money. Amounts are nano-dollars.
 * `paid` is what the visitor pays, `absorbed` what the operator pays beyond the bound.
 */
export const journalEventSchema = z.object({
  kind: z.enum(['hold', 'post', 'void', 'presume', 'correct']),
  request: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  /** The held amount. */
  amount: nano,
  paid: nano,
  absorbed: nano,
  /** Redis' clock, milliseconds since the epoch. */
  at_ms: z.coerce.number().int(),
  /** JSON: model, usage, verdicts, reason. Never content. */
  detail: z.string().default('{}'),
});
export type JournalEvent = z.infer<typeof journalEventSchema>;

export const JOURNAL_GROUP = 'accounting';
