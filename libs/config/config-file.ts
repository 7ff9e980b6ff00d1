import { z } from 'zod';
import { parseUsd } from '#libs/money/nano.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { guardsSchema } from './guard-settings.js';
import { PRESET_NAMES, withPreset } from './lane-presets.js';

const laneName = z.string().regex(/^[A-Za-z0-9._:/-]{1,128}$/);
const limit = z.number().int().min(1, 'must be at least 1; leave it out for no limit');

const limits = {
  /** Numbers beside it win over the preset's. */
  preset: z.enum(PRESET_NAMES, { error: `must be one of ${PRESET_NAMES.join(', ')}` }).optional(),
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
};

/** Limits of one lane: an upstream account × a rate-limit group. What is left out is not limited; a 429 still freezes the lane. */
const laneSchema = z
  .strictObject({
    ...limits,
    /** Models that share these limits; the lane's own name counts as one. */
    models: z.array(z.string().min(1)).default([]),
    /** OPENAI_API_KEY's account does not serve it, only `upstreams` do. */
    elsewhere_only: z.boolean().optional(),
  })
  .transform(withPreset);
export type LaneSettings = z.infer<typeof laneSchema>;

/** An account beside OPENAI_API_KEY's, at OpenAI or at a compatible endpoint; its key is in DAYPASS_UPSTREAM_KEYS. */
const upstreamSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be small letters, digits and dashes')
    .refine((name) => name !== FIRST_UPSTREAM, `${FIRST_UPSTREAM} is the name of OPENAI_API_KEY's own`),
  base_url: z.url({ protocol: /^https?$/, error: 'must be an address such as https://api.openai.com/v1' }),
  /** It asks for no key. */
  keyless: z.boolean().default(false),
  /** The lanes that it serves, too, and its limits in each; left out: all of them, and its limits are learned. */
  lanes: z.record(laneName, z.strictObject(limits).transform(withPreset)).optional(),
  /** What it calls a model, where that is not the visitors' name. */
  models: z.record(z.string().min(1), z.string().min(1)).default({}),
});
export type UpstreamSettings = z.infer<typeof upstreamSchema>;

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

const wholeSchema = z.strictObject({
  lanes: z.record(laneName, laneSchema).superRefine(refuseSharedModels).default({}),
  prices: z.record(z.string().min(1), priceSchema).default({}),
  operator: z.strictObject({ budget_usd_per_day: usd.optional(), budget_usd_total: usd.optional(), webhook: webhookSchema.optional() }).default({}),
  /** Beside the moderation endpoint. */
  guards: guardsSchema,
  /** Taken in their order, after OPENAI_API_KEY's own: where that has no room, is away or out of money. */
  upstreams: z.array(upstreamSchema).max(20).default([]),
});
export const configFileSchema = wholeSchema.superRefine(refuseStrayUpstreams);
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

function refuseStrayUpstreams({ lanes, upstreams }: z.infer<typeof wholeSchema>, context: z.RefinementCtx): void {
  const known = new Set([...Object.keys(lanes), 'default']);
  known.delete('moderation');
  const refuse = (path: (string | number)[], message: string): void => context.addIssue({ code: 'custom', path, message });
  for (const [index, { name, lanes: served }] of upstreams.entries()) {
    if (upstreams.findIndex((other) => other.name === name) < index) refuse(['upstreams', index, 'name'], `${name} is there twice`);
    for (const lane of Object.keys(served ?? {})) {
      if (!known.has(lane)) refuse(['upstreams', index, 'lanes', lane], `is no lane for calls: the lanes are ${[...known].join(', ')}`);
    }
  }
  for (const [lane, { elsewhere_only: elsewhere }] of Object.entries(lanes)) {
    const served = upstreams.some((upstream) => lane !== 'moderation' && (!upstream.lanes || upstream.lanes[lane]));
    if (elsewhere && !served) refuse(['lanes', lane, 'elsewhere_only'], 'no upstream of the list serves this lane');
  }
}
