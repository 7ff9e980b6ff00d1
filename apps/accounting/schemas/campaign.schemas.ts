import { z } from 'zod';
import { campaignStatusSchema, toolPricesSchema } from '#libs/contracts/key-state.js';
import { formatUsd } from '#libs/money/nano.js';
import {
  campaignModeration,
  claim,
  limits,
  models,
  origins,
  positiveUsd,
  requiredText,
  retentionDays,
  slug,
  ttlSeconds,
  usd,
  weight,
} from './field.schemas.js';

const keyDefaults = z.strictObject({
  budget_usd: usd.transform((nano) => formatUsd(nano)).optional(),
  ttl_seconds: ttlSeconds.optional(),
  limits: limits.optional(),
});

export const createCampaignSchema = z.strictObject({
  slug,
  name: requiredText(200),
  budget_usd: usd,
  models,
  key_defaults: keyDefaults.default({}),
  moderation: campaignModeration.default({ input: 'gate', output: 'gate', thresholds: {}, on_unavailable: 'closed' }),
  tool_prices: toolPricesSchema.default({}),
  claim: claim.nullable().default(null),
  origins: origins.nullable().default(null),
  retention_days: retentionDays.nullable().default(null),
  weight: weight.default(1),
});
export type CreateCampaign = z.output<typeof createCampaignSchema>;

export const changeCampaignSchema = z.strictObject({
  name: requiredText(200).optional(),
  budget_usd: usd.optional(),
  models: models.optional(),
  key_defaults: keyDefaults.optional(),
  moderation: campaignModeration.optional(),
  tool_prices: toolPricesSchema.optional(),
  claim: claim.nullable().optional(),
  origins: origins.nullable().optional(),
  retention_days: retentionDays.nullable().optional(),
  weight: weight.optional(),
  status: campaignStatusSchema.optional(),
});
export type ChangeCampaign = z.output<typeof changeCampaignSchema>;

export const fundCampaignSchema = z.strictObject({ amount_usd: positiveUsd });
export type FundCampaign = z.output<typeof fundCampaignSchema>;
