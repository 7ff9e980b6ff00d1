import { z } from 'zod';
import { time, usd } from './leaves.js';

/** `GET /ledger/verify`: what was checked of the books, and what is wrong. */
export const ledgerProofAnswer = z.object({
  ok: z.boolean(),
  checked: z.object({
    transfers: z.int(),
    entries: z.int(),
    rejected_events: z.int(),
    keys: z.int(),
    campaigns: z.int(),
  }),
  problems: z.array(z.string()),
  /** Where Redis and the ledger disagree. */
  differences: z.array(
    z.object({
      /** A key or a campaign. */
      id: z.string(),
      field: z.enum(['budget_usd', 'spent_usd', 'held_usd', 'absorbed_usd']),
      ledger: usd,
      redis: usd,
    }),
  ),
});
export type LedgerProof = z.output<typeof ledgerProofAnswer>;

/** `GET /audit/verify`: what was checked of the record, and what is wrong. */
export const recordProofAnswer = z.object({
  ok: z.boolean(),
  checked: z.object({ rows: z.int(), contents: z.int(), checkpoints: z.int(), policies: z.int() }),
  /** The last link. Whoever keeps it elsewhere can prove later that nobody changed an earlier row. */
  head: z.object({ seq: z.int(), hash: z.string() }),
  /** The public key of the signatures in `audit.checkpoints` (Ed25519, SPKI). */
  public_key: z.string(),
  problems: z.array(
    z.object({
      kind: z.enum(['missing', 'altered', 'unsigned', 'content']),
      /** Numbers in the chain. */
      from: z.int(),
      to: z.int(),
      id: z.string().nullable(),
      message: z.string(),
    }),
  ),
});
export type RecordProof = z.output<typeof recordProofAnswer>;

/** `GET /reconciliation`: how the books compare with the provider's reports. */
export const reconciliationAnswer = z.object({
  data: z.object({
    /** There is an OPENAI_ADMIN_KEY. */
    enabled: z.boolean(),
    /** The projects and API keys that reports cover; null: the whole organization, so that bills of others count too. */
    scope: z.string().nullable(),
    /** `outcome`: `ok`, or why the comparison failed. What it found stands beside it. */
    last_run: z.looseObject({ at: time, outcome: z.string() }).nullable(),
    /** Days that the provider billed, newest first. `drift_usd`: booked less billed. */
    days: z.array(z.object({ day: z.string(), booked_usd: usd, billed_usd: usd, drift_usd: usd })),
  }),
});
export type Reconciliation = z.output<typeof reconciliationAnswer>['data'];

/** `POST /moderation/replay`: what other thresholds would have made of verdicts on record. */
export const replayAnswer = z.object({
  data: z.object({
    since: time,
    /** Verdicts whose scores are on record. */
    checks: z.int(),
    /** Of them: what was blocked, or flagged where the policy only observed. */
    now_blocked: z.int(),
    /** What these thresholds block, or flag where the policy only observed. */
    would_block: z.int(),
    /**
     * These thresholds leave a category to the judging model's own flag, which the record lacks: the policy of that
     * time had a threshold there. They are not in `would_block`.
     */
    unknown: z.int(),
    /** `own_rules`: thresholds do not decide for this guard, or it keeps no scores · `no_verdict`: it gave none. */
    left_out: z.array(z.object({ guard: z.string(), checks: z.int(), why: z.enum(['own_rules', 'no_verdict']) })),
    /** The newest checks that these thresholds block, and those of that time did not. */
    examples: z.array(z.string()),
    /** The calls of these checks, in their order. */
    example_calls: z.array(z.string()),
  }),
});
export type Replay = z.output<typeof replayAnswer>['data'];
