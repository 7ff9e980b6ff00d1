import { z } from 'zod';
import { checkAnswer } from './answers.js';
import { time, usd } from './leaves.js';

/** A claimant (`vis_…`), or a key that nobody identified (`key_…`). */
export const visitorAnswer = z.object({
  id: z.string(),
  kind: z.enum(['key', 'label', 'github', 'email']),
  /** What people call the claimant; null: nobody did, or it was erased. */
  label: z.string().nullable(),
  keys: z.int(),
  keys_active: z.int(),
  calls: z.int(),
  checks: z.int(),
  flagged: z.int(),
  blocked: z.int(),
  spent_usd: usd,
  first_at: time.nullable(),
  last_at: time.nullable(),
  /** It claims no more. */
  blocked_at: time.nullable(),
  erased_at: time.nullable(),
});
export type VisitorView = z.output<typeof visitorAnswer>;

/** What a person, or Daypass itself, did: the record's acts. */
export const actAnswer = z.object({
  id: z.string(),
  at: time,
  act: z.string(),
  subject: z.string(),
  note: z.string().nullable(),
  /** Who: the name of the console's session or of `x-daypass-actor`; null: nobody said. */
  actor: z.string().nullable(),
});
export type ActView = z.output<typeof actAnswer>;

/**
 * Whether texts of a call are there. `shown`: in this answer · `kept`: `POST /requests/:id/open` shows them ·
 * `erased`: with their visitor · `expired`: older than their campaign keeps them · `none`: nothing was kept.
 */
export const TEXTS = ['shown', 'kept', 'erased', 'expired', 'none'] as const;

/** One call: its request, its checks and its cost. */
export const requestAnswer = z.object({
  id: z.string(),
  at: time,
  campaign: z.string().nullable(),
  key: z.string(),
  visitor: z.string(),
  /** The API that it spoke. */
  endpoint: z.string(),
  model: z.string(),
  stream: z.boolean(),
  policy_version: z.string(),
  policy: z.unknown(),
  texts: z.enum(TEXTS),
  /** The request as forwarding sends it on; null where `texts` is not `shown`. */
  asked: z.unknown(),
  /** What Daypass kept beside it, for the answer: no upstream got it, e.g. `metadata`. null: nothing. */
  kept: z.record(z.string(), z.unknown()).nullable(),
  checks: z.array(checkAnswer.extend({ judged: z.unknown() })),
  /** The call's bookings in the ledger. */
  transfers: z.array(
    z.object({
      id: z.string(),
      kind: z.string(),
      at: time,
      paid_usd: usd,
      /** What the call used, by meter; absent: the booking does not say it. */
      usage: z.record(z.string(), z.number()).optional(),
    }),
  ),
  reviewed: z.boolean().nullable(),
  seq: z.int(),
});
export type RequestView = z.output<typeof requestAnswer>;

/** `GET /requests/:id/around`: the calls beside it within a filter; null: it is the first or the last. */
export const aroundAnswer = z.object({
  data: z.object({ newer: z.string().nullable(), older: z.string().nullable() }),
});
export type AroundView = z.output<typeof aroundAnswer>['data'];

/** `GET /checks/count`. `is_more`: there are more than it counts. */
export const checkCountAnswer = z.object({ data: z.object({ checks: z.int(), is_more: z.boolean() }) });
export type CheckCount = z.output<typeof checkCountAnswer>['data'];

/** `POST /requests/:id/review`. */
export const reviewedAnswer = z.object({ data: z.object({ id: z.string(), reviewed: z.literal(true) }) });

/** `POST /visitors/:id/erase`. */
export const erasedAnswer = z.object({ data: z.object({ id: z.string(), erased_at: time }) });

/** `POST /campaigns/:slug/revoke-keys`. */
export const revokedKeysAnswer = z.object({
  data: z.object({ dry_run: z.boolean(), keys: z.int(), returned_usd: usd }),
});
/** `POST /visitors/:id/{suspend,reinstate,block,unblock}`. */
export const visitorActAnswer = z.object({ data: z.object({ id: z.string(), keys_changed: z.int() }) });
