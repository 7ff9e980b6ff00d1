import { z } from 'zod';
import { parseUsd } from '#libs/money/nano.js';
import { guardsSchema } from './guard-settings.js';

const limit = z.number().int().min(1, 'must be at least 1; leave it out for no limit');

/** Limits of one lane: an upstream account × a rate-limit group. What is left out is not limited; a 429 still freezes the lane. */
const laneSchema = z.strictObject({
  rpm: limit.optional(),
  tpm: limit.optional(),
  rpd: limit.optional(),
  tpd: limit.optional(),
  ipm: limit.optional(),
  /** Of the even rate, so many seconds may be used at once; 60: all of a minute. */
  burst_seconds: z.number().min(1).max(60).default(10),
  /** What of a call's tokens counts: what it asks for, as OpenAI does, or what it used in the end. */
  counts: z.enum(['asked', 'used']).default('asked'),
  /** Keep to these numbers, whatever the upstream's headers say. */
  fixed: z.boolean().default(false),
  /** Models that share these limits; the lane's own name counts as one. */
  models: z.array(z.string().min(1)).default([]),
});
export type LaneSettings = z.infer<typeof laneSchema>;

/** Dollars, as a decimal string or a plain number; nano-dollars as a bigint after parsing. */
const usd = z.union([z.number(), z.string()]).transform((value, context) => {
  try {
    return parseUsd(String(value));
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not an amount' });
    return z.NEVER;
  }
});
const usdPerMillion = usd.transform((nano) => Number((nano + 999_999n) / 1_000_000n));

/** Parsed to whole nano-dollars per token, rounded up. */
const priceSchema = z.strictObject({
  input_usd_per_million: usdPerMillion,
  cached_input_usd_per_million: usdPerMillion.optional(),
  output_usd_per_million: usdPerMillion,
  max_output_tokens: limit.optional(),
});
export type PriceSettings = z.infer<typeof priceSchema>;

/** Where the operator is told of strikes; each notice is signed with the secret (Standard Webhooks). */
const webhookSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'must be an address such as https://example.org/hook' }),
  secret: z.string().min(16, 'must have at least 16 characters'),
});

const laneName = z.string().regex(/^[A-Za-z0-9._:/-]{1,128}$/);

export const configFileSchema = z.strictObject({
  lanes: z.record(laneName, laneSchema).superRefine(refuseSharedModels).default({}),
  prices: z.record(z.string().min(1), priceSchema).default({}),
  operator: z.strictObject({ budget_usd_per_day: usd.optional(), budget_usd_total: usd.optional(), webhook: webhookSchema.optional() }).default({}),
  /** Beside the moderation endpoint. */
  guards: guardsSchema,
  upstreams: z.array(z.unknown()).max(0, 'further upstreams are not served yet: leave the list empty').default([]),
});
export type ConfigFile = z.infer<typeof configFileSchema>;

/** A model in two lanes would be paced by whichever was read last. */
function refuseSharedModels(lanes: Record<string, LaneSettings>, context: z.RefinementCtx): void {
  const laneOf = new Map(Object.keys(lanes).map((lane) => [lane, lane]));
  for (const [lane, { models }] of Object.entries(lanes)) {
    for (const model of models) {
      const other = laneOf.get(model);
      if (other !== undefined && other !== lane) context.addIssue({ code: 'custom', path: [lane, 'models'], message: `${model} is in the lane ${other} too` });
      laneOf.set(model, lane);
    }
  }
}
