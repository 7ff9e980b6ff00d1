import { z } from 'zod';
import { campaignClaimSchema } from '../claims.js';
import { checkDecisionSchema, directionSchema } from '../audit.js';
import { keyStatusSchema } from '../key-state.js';
import { time, usd } from './leaves.js';

/** Answers of the admin API. Its docs, the console and its pages have their types from here. */

/** `running`: the books have no end of the call yet. */
export const CALL_RESULTS = ['corrected', 'presumed', 'posted', 'voided', 'running'] as const;

const limit = z.int().optional();
const open = z.record(z.string(), z.unknown());
const balance = { budget_usd: usd, spent_usd: usd, held_usd: usd, available_usd: usd };

const keyView = {
  id: z.string(),
  prefix: z.string(),
  label: z.string(),
  campaign: z.string(),
  status: z.enum([...keyStatusSchema.options, 'expired']),
  status_note: z.string().nullable(),
  starts_at: time.nullable(),
  expires_at: time.nullable(),
  ttl_from_first_use_seconds: z.int().nullable(),
  first_used_at: time.nullable(),
  ...balance,
  returned_usd: usd,
  last_call_at: time.nullable(),
  /** Who claimed it (`vis_…`); null: nobody said. Its keys are one visitor. */
  claimant: z.string().nullable(),
  /** The claim link that it came from. */
  link: z.string().nullable(),
  /** Its refused inputs since a person reinstated it last. */
  strikes: z.int(),
  limits: z.object({ rpm: limit, tpm: limit, concurrent: limit, bytes_per_hour: limit }),
  models: z.array(z.string()).nullable(),
  moderation: z.unknown(),
  created_at: time,
  updated_at: time,
};
export const keyAnswer = z.object(keyView);
export const newKeyAnswer = z.object({ ...keyView, key: z.string() });

export const campaignAnswer = z.object({
  id: z.string(),
  slug: z.string(),
  name: z.string(),
  status: z.enum(['active', 'closed']),
  ...balance,
  absorbed_usd: usd,
  /** What its keys may still spend, beside what their running calls hold. */
  promised_usd: usd,
  models: z.array(z.string()),
  key_defaults: z.unknown(),
  moderation: z.unknown(),
  tool_prices: z.unknown(),
  claim: campaignClaimSchema.nullable(),
  origins: z.array(z.string()).nullable(),
  weight: z.number(),
  retention_days: z.int().nullable(),
  keys: z.object({
    total: z.int(),
    active: z.int(),
    suspended: z.int(),
    revoked: z.int(),
    expired: z.int(),
  }),
  created_at: time,
  updated_at: time,
  warnings: z.array(z.string()).optional(),
});

const decisions = z.array(checkDecisionSchema);
export const callAnswer = z.object({
  id: z.string(),
  at: time,
  campaign: z.string().nullable(),
  key: z.string(),
  key_label: z.string().nullable(),
  visitor: z.string(),
  endpoint: z.string(),
  model: z.string(),
  stream: z.boolean(),
  policy_version: z.string(),
  checks: z.int(),
  input: decisions,
  output: decisions,
  result: z.enum(CALL_RESULTS),
  held_usd: usd,
  paid_usd: usd,
  /** Of a blocked or flagged call: a person saw it, or decided about its visitor. null: there is nothing to review. */
  reviewed: z.boolean().nullable(),
});

export const checkAnswer = z.object({
  id: z.string(),
  at: time,
  request_id: z.string(),
  campaign: z.string().nullable(),
  key: z.string(),
  visitor: z.string(),
  direction: directionSchema,
  guard: z.string(),
  model: z.string(),
  decision: checkDecisionSchema,
  categories: z.array(z.string()),
  scores: z.record(z.string(), z.number()),
  thresholds: z.record(z.string(), z.number()),
  policy_version: z.string(),
  latency_ms: z.int(),
  reason: z.string().nullable(),
  seq: z.int(),
});

export const transferAnswer = z.object({
  id: z.string(),
  kind: z.string(),
  request_id: z.string().nullable(),
  at: time,
  amount_usd: usd,
  entries: z.array(z.object({ account: z.string(), amount_usd: usd })),
  detail: open,
});

export const strikeAnswer = z.object({
  request_id: z.string(),
  key: z.string(),
  at: time,
  strikes: z.int(),
  step: z.enum(['warn', 'cooldown', 'suspend']),
  detail: open,
});

export const bulkOutcome = z.object({
  dry_run: z.boolean(),
  matched: z.int(),
  changed: z.int(),
  remaining: z.int(),
  failed: z.array(z.object({ id: z.string(), why: z.string() })),
});

const inData = <T extends z.ZodType>(data: T) => z.object({ data });
export const newKeysAnswer = inData(z.array(newKeyAnswer));
export const bulkAnswer = inData(bulkOutcome);

/** A page of a list. */
export const pageOfAnswers = <T extends z.ZodType>(row: T) =>
  z.object({ data: z.array(row), next_cursor: z.string().nullable() });

/** A page of a list. `next_cursor`: of the next page; null on the last one. */
export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

export type KeyView = z.output<typeof keyAnswer>;
/** With the virtual key itself. The answer to its creation is the only one that shows it. */
export type NewKeyView = z.output<typeof newKeyAnswer>;
/** The answer to a write has `warnings`: what will not work as the operator asked. */
export type CampaignView = z.output<typeof campaignAnswer>;
export type CallView = z.output<typeof callAnswer>;
export type CheckView = z.output<typeof checkAnswer>;
export type TransferView = z.output<typeof transferAnswer>;
export type StrikeView = z.output<typeof strikeAnswer>;
export type BulkOutcome = z.output<typeof bulkOutcome>;
