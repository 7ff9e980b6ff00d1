import { z } from 'zod';
import { campaignStatusSchema, toolPricesSchema } from '#libs/contracts/key-state.js';
import { formatUsd } from '#libs/money/nano.js';
import {
  campaignModeration,
  limits,
  models,
  origins,
  positiveUsd,
  requiredText,
  retentionDays,
  slug,
  ttlFrom,
  ttlSeconds,
  usd,
  weight,
} from './field.schemas.js';
import { claimSchema } from './claim-page.schemas.js';
import { patchOf } from './patch.schemas.js';

/** Of a campaign that says nothing. */
export const RETENTION_DAYS = 90;

const keyDefaults = z.strictObject({
  budget_usd: usd.transform((nano) => formatUsd(nano)).optional(),
  ttl_seconds: ttlSeconds.optional(),
  ttl_from: ttlFrom.optional(),
  limits: limits.optional(),
});

/** The parts that a change merges. It validates the result as a whole. */
export const campaignPartsSchema = z.strictObject({
  key_defaults: keyDefaults.default({}),
  moderation: campaignModeration.default({ input: 'gate', output: 'gate', thresholds: {}, on_unavailable: 'closed' }),
  tool_prices: toolPricesSchema.default({}),
  /** null: its links show its name, and follow the defaults. */
  claim: claimSchema.nullable().default(null),
});
const parts = campaignPartsSchema.shape;

export const createCampaignSchema = z.strictObject({
  slug,
  name: requiredText(200),
  budget_usd: usd,
  models,
  ...parts,
  origins: origins.nullable().default(null),
  retention_days: retentionDays.nullable().default(RETENTION_DAYS),
  weight: weight.default(1),
});
export type CreateCampaign = z.output<typeof createCampaignSchema>;

/** A JSON merge patch: objects merge, null removes a field, or puts its default back. */
export const changeCampaignSchema = z.strictObject({
  name: requiredText(200).optional(),
  budget_usd: usd.optional(),
  models: models.optional(),
  key_defaults: patchOf(parts.key_defaults),
  moderation: patchOf(parts.moderation),
  tool_prices: patchOf(parts.tool_prices),
  claim: patchOf(parts.claim),
  origins: origins.nullable().optional(),
  retention_days: retentionDays.nullable().optional(),
  weight: weight.nullable().optional(),
  status: campaignStatusSchema.optional(),
});
export type ChangeCampaign = z.output<typeof changeCampaignSchema>;

export const fundCampaignSchema = z.strictObject({ amount_usd: positiveUsd });
export type FundCampaign = z.output<typeof fundCampaignSchema>;

/** `confirm`: the campaign's slug, as a person typed it. */
export const revokeKeysSchema = z.strictObject({
  note: requiredText(1_000),
  dry_run: z.boolean().default(false),
  confirm: z.string().max(100).optional(),
});
export type RevokeKeys = z.output<typeof revokeKeysSchema>;
