import { z } from 'zod';
import { checkDecisionSchema, directionSchema } from '#libs/contracts/audit.js';
import { keyStatusSchema } from '#libs/contracts/key-state.js';
import { CALL_RESULTS, type CallView } from '../domain/call.view.js';
import type { CampaignView } from '../domain/campaign.view.js';
import type { CheckView } from '../domain/check.view.js';
import type { Page } from '../domain/cursor.js';
import type { KeyView, NewKeyView } from '../domain/key.view.js';
import type { StrikeView } from '../domain/strike.js';
import type { TransferView } from '../domain/transfer.view.js';

/** The fields that the schema of a view lacks. */
type Lacking<View, Schema extends z.ZodType> = Exclude<keyof View, keyof z.output<Schema>>;

/** A schema of what `View` is, with the view's fields and no others. */
const of =
  <View>() =>
  <Schema extends z.ZodType>(
    schema: View extends z.output<Schema> ? ([Lacking<View, Schema>] extends [never] ? Schema : never) : never,
  ): Schema =>
    schema;

const usd = z.string().meta({ description: 'Dollars', pattern: '^-?\\d+\\.\\d{2,9}$', example: '2.50' });
const time = z.string().meta({ format: 'date-time' });
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
  limits: z.object({ rpm: limit, tpm: limit, concurrent: limit, bytes_per_hour: limit }),
  models: z.array(z.string()).nullable(),
  moderation: z.unknown(),
  created_at: time,
  updated_at: time,
};
export const keyAnswer = of<KeyView>()(z.object(keyView));
export const newKeyAnswer = of<NewKeyView>()(z.object({ ...keyView, key: z.string() }));

export const campaignAnswer = of<CampaignView>()(
  z.object({
    id: z.string(),
    slug: z.string(),
    name: z.string(),
    status: z.enum(['active', 'closed']),
    ...balance,
    absorbed_usd: usd,
    models: z.array(z.string()),
    key_defaults: z.unknown(),
    moderation: z.unknown(),
    tool_prices: z.unknown(),
    claim: z.unknown(),
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
  }),
);

const decisions = z.array(checkDecisionSchema);
export const callAnswer = of<CallView>()(
  z.object({
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
  }),
);

export const checkAnswer = of<CheckView>()(
  z.object({
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
  }),
);

export const transferAnswer = of<TransferView>()(
  z.object({
    id: z.string(),
    kind: z.string(),
    request_id: z.string().nullable(),
    at: time,
    amount_usd: usd,
    entries: z.array(z.object({ account: z.string(), amount_usd: usd })),
    detail: open,
  }),
);

export const strikeAnswer = of<StrikeView>()(
  z.object({
    request_id: z.string(),
    at: time,
    strikes: z.int(),
    step: z.enum(['warn', 'cooldown', 'suspend']),
    detail: open,
  }),
);

const bulkOutcome = z.object({
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
  of<Page<z.output<T>>>()(z.object({ data: z.array(row), next_cursor: z.string().nullable() }));
