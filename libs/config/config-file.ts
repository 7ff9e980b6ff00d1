import { z } from 'zod';
import { parseUsd } from '#libs/money/nano.js';
import { ENCODINGS } from '#libs/contracts/jobs.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { guardsSchema } from './guard-settings.js';
import { PRESET_NAMES, withPreset } from './lane-presets.js';

const laneName = z.string().regex(/^[A-Za-z0-9._:/-]{1,128}$/);
const limit = z.number().int().min(1, 'must be at least 1; leave it out for no limit');

const limits = {
  preset: z
    .enum(PRESET_NAMES, { error: `must be one of ${PRESET_NAMES.join(', ')}` })
    .optional()
    .meta({
      description:
        'Limits of an OpenAI usage tier, from [the table below](#lane-presets). A number beside it wins over the preset.',
    }),
  rpm: limit.optional().meta({ description: 'Requests a minute.' }),
  tpm: limit.optional().meta({ description: 'Tokens a minute.' }),
  rpd: limit.optional().meta({ description: 'Requests in 24 hours.' }),
  tpd: limit.optional().meta({ description: 'Tokens in 24 hours.' }),
  ipm: limit.optional().meta({ description: 'Images a minute: those that models make.' }),
  audio_seconds_per_minute: limit
    .optional()
    .meta({ description: 'Seconds of sound a minute: those that models listen to.', unit: 's' }),
  burst_seconds: z.number().min(1).max(60).default(10).meta({
    description: 'Calls may use this many seconds of the limit at once. 60 lets a whole minute go at once.',
    unit: 's',
  }),
  counts: z.enum(['asked', 'used']).default('asked').meta({
    description:
      '`asked` counts what a call asks for, as OpenAI does: its input and its output cap. `used` gives back what it did not use.',
  }),
  fixed: z
    .boolean()
    .default(false)
    .meta({ description: "`true` keeps these numbers and ignores the limits in the upstream's headers." }),
};

/** Limits of one lane at one upstream account. A missing limit does not exist, but a 429 still freezes the lane. */
const laneSchema = z
  .strictObject({
    ...limits,
    models: z
      .array(z.string().min(1))
      .default([])
      .meta({ description: "Models that share these limits. A model of the lane's own name belongs to it anyway." }),
    elsewhere_only: z.boolean().optional().meta({
      description: '`true`: the main account never serves this lane. Only the `upstreams` of this file do.',
    }),
  })
  .transform(withPreset);
export type LaneSettings = z.infer<typeof laneSchema>;

/** Without these a call has no meaning, or its cost no bound. */
const NEEDED = ['model', 'messages', 'input', 'stream', 'n', 'max_tokens'];
const drops = z
  .array(
    z
      .string()
      .regex(/^[a-z][a-z0-9_]{0,63}$/, 'must be the name of a parameter')
      .refine((name) => !NEEDED.includes(name), `cannot be left out: no call goes without ${NEEDED.join(', ')}`),
  )
  .max(64)
  .default([]);

/** The first words of the endpoints' names, as tickets have them. */
export const OFFERED = ['chat', 'responses', 'embeddings', 'audio', 'completions', 'images'] as const;
const offered = z.array(z.enum(OFFERED)).min(1, 'must name at least one; leave it out for all').optional();

/** The account of OPENAI_API_KEY, at OPENAI_BASE_URL. */
const mainSchema = z.strictObject({
  drops: drops.meta({
    description:
      'Parameters that `OPENAI_BASE_URL` does not know, e.g. `store`. Daypass leaves them out of every call there.',
  }),
  endpoints: offered.meta({
    description:
      'The APIs that `OPENAI_BASE_URL` offers: `chat`, `responses`, `embeddings`, `audio`, `completions`, `images`. Daypass sends it no calls of others. Without this field it offers all; `completions` only where it is neither OpenAI nor Azure.',
  }),
});

/** An account beside OPENAI_API_KEY's, at OpenAI or at a compatible endpoint. */
const upstreamSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be small letters, digits and dashes')
    .refine((name) => name !== FIRST_UPSTREAM, `${FIRST_UPSTREAM} is the name of OPENAI_API_KEY's own`)
    .meta({
      description:
        'Its name in the ledger, in metrics and in `DAYPASS_UPSTREAM_KEYS`: small letters, digits and dashes.',
    }),
  base_url: z
    .url({ protocol: /^https?$/, error: 'must be an address such as https://api.openai.com/v1' })
    .meta({ description: 'The address of its API.', example: 'http://10.0.0.5:8000/v1' }),
  kind: z
    .enum(['azure', 'compatible'], { error: 'must be azure or compatible; leave it out for what the address says' })
    .optional()
    .meta({
      description:
        '`azure`: Azure OpenAI, which gets its key in the header `api-key`. Without this field the host of `base_url` says it.',
    }),
  api_version: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/, 'must be a version such as 2024-10-21')
    .optional()
    .meta({
      description:
        'Of Azure OpenAI only: calls go to `deployments/<name>` of `base_url`, which then ends with `/openai`. Without this field `base_url` ends with `/openai/v1`, and the deployment is the model.',
      example: '2024-10-21',
    }),
  keyless: z
    .boolean()
    .default(false)
    .meta({ description: '`true`: it needs no key. Otherwise `DAYPASS_UPSTREAM_KEYS` must have one.' }),
  lanes: z.record(laneName, z.strictObject(limits).transform(withPreset)).optional().meta({
    description:
      'The lanes that it serves, each with its own limits. Without this field it serves all of them and Daypass learns its limits.',
  }),
  models: z.record(z.string().min(1), z.string().min(1)).default({}).meta({
    description: 'Names of models that differ here: the name that visitors use, and the name that this upstream uses.',
  }),
  drops: drops.meta({
    description: 'Parameters that it does not know, e.g. `store`. Daypass leaves them out of every call to it.',
  }),
  endpoints: offered.meta({
    description:
      'The APIs that it offers: `chat`, `responses`, `embeddings`, `audio`, `completions`, `images`. Calls of others go to the other upstreams of their lane. Without this field it offers all; `completions` only where it is neither OpenAI nor Azure.',
  }),
});
export type UpstreamSettings = z.infer<typeof upstreamSchema>;

const AZURE_HOST = /\.(openai\.azure|services\.ai\.azure|cognitiveservices\.azure)\.(com|us|cn)$/i;

interface KindSettings {
  kind?: 'azure' | 'compatible' | undefined;
  base_url: string;
}

/** As the operator says, or as its address does. */
export function kindOf({ kind, base_url }: KindSettings): 'openai' | 'azure' | 'compatible' {
  const { hostname } = new URL(base_url);
  if (kind !== undefined) return kind;
  if (AZURE_HOST.test(hostname)) return 'azure';
  return hostname.endsWith('.openai.com') ? 'openai' : 'compatible';
}

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

/** Parsed to hundredths, rounded up. */
const multiple = z
  .number()
  .min(0.01)
  .max(100)
  .transform((times) => Math.ceil(Number((times * 100).toFixed(6))));
const tiers = z.strictObject({
  flex: multiple.optional().meta({ description: 'What `flex` costs, as a multiple of the standard price.' }),
  priority: multiple.optional().meta({
    description: 'What `priority` costs, as a multiple of the standard price. `fast` is its other name.',
  }),
  fast: multiple.optional().meta({ description: 'The same under its other name.' }),
});

/** Parsed to whole nano-dollars per second, rounded up. */
const usdPerHour = usd.transform((nano) => Number((nano + 3_599n) / 3_600n));

const rates = {
  input_usd_per_million: usdPerMillion.optional().meta({
    description: 'Dollars for a million input tokens of text. Leave it out for models that text costs nothing of.',
  }),
  cached_input_usd_per_million: usdPerMillion.optional().meta({
    description: 'Dollars for a million input tokens that the provider had in its cache.',
    fallback: 'the input price',
  }),
  cache_write_usd_per_million: usdPerMillion.optional().meta({
    description: 'Dollars for a million input tokens that the provider writes into its cache.',
    fallback: 'the input price',
  }),
  output_usd_per_million: usdPerMillion.optional().meta({
    description:
      'Dollars for a million output tokens of text. Leave it out for models without such output, e.g. those of embeddings. No other API may then call them.',
  }),
  image_input_usd_per_million: usdPerMillion
    .optional()
    .meta({ description: 'Dollars for a million input tokens of images, for models that make images.' }),
  image_output_usd_per_million: usdPerMillion
    .optional()
    .meta({ description: 'Dollars for a million output tokens of images. Without it Daypass refuses to make any.' }),
  audio_input_usd_per_million: usdPerMillion
    .optional()
    .meta({ description: 'Dollars for a million input tokens of sound.' }),
  audio_output_usd_per_million: usdPerMillion
    .optional()
    .meta({ description: 'Dollars for a million output tokens of sound.' }),
  usd_per_hour: usdPerHour
    .optional()
    .meta({ description: 'Dollars for an hour of sound, for models that are paid by its length.' }),
  usd_per_million_characters: usdPerMillion
    .optional()
    .meta({ description: 'Dollars for a million characters of text, for models that speak and are paid by them.' }),
};

/** What stands beside the price of an input: without it, text that a model reads would cost nothing. */
const BESIDE_INPUT = ['cached_input_usd_per_million', 'cache_write_usd_per_million', 'output_usd_per_million'] as const;
const ALONE = (Object.keys(rates) as (keyof typeof rates)[]).filter((name) => !BESIDE_INPUT.some((of) => of === name));

/** Parsed to whole nano-dollars per token, second or character, rounded up. */
const priceSchema = z
  .strictObject({
    ...rates,
    image_tokens_per_image: limit.optional().meta({
      description:
        'The most output tokens of one image of this model, at any size and quality. OpenAI’s own models need none: Daypass knows how they count.',
    }),
    max_output_tokens: limit.optional().meta({
      description: 'The longest answer of this model, where Daypass does not know it. A compaction needs it.',
    }),
    tiers: tiers.optional().meta({
      description: 'Prices of service tiers. Daypass refuses a call under a tier that has no price here.',
    }),
    encoding: z.enum(ENCODINGS).optional().meta({
      description:
        "How the model counts tokens. Without this field the model's name says it. Where the name says nothing, each byte of text counts as a token. That is a safe bound, about four times too high for English.",
      fallback: 'by the name',
    }),
  })
  .superRefine((price, context) => {
    if (price.input_usd_per_million !== undefined) return;
    const beside = BESIDE_INPUT.find((name) => price[name] !== undefined);
    const issue = (message: string, path: string[] = []): void => context.addIssue({ code: 'custom', path, message });
    if (beside) issue(`must stand beside ${beside}; 0 where text costs nothing`, ['input_usd_per_million']);
    else if (ALONE.every((name) => price[name] === undefined)) issue(`needs at least one of ${ALONE.join(', ')}`);
  });

const webhookSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'must be an address such as https://example.org/hook' }).meta({
    description:
      'Accounting posts each notice here until it gets a 2xx. The field `text` suits Slack and similar services.',
  }),
  secret: z
    .string()
    .min(16, 'must have at least 16 characters')
    .meta({ description: 'Accounting signs each notice with it (Standard Webhooks).' }),
});

const operatorSchema = z.strictObject({
  budget_usd_per_day: usd
    .optional()
    .meta({ description: 'All calls of one UTC day together may cost this many dollars.' }),
  budget_usd_total: usd.optional().meta({ description: 'All calls together may ever cost this many dollars.' }),
  webhook: webhookSchema.optional().meta({ description: 'The webhook that gets notices of strikes and safety cases.' }),
});

const wholeSchema = z.strictObject({
  lanes: z.record(laneName, laneSchema).superRefine(refuseSharedModels).default({}).meta({
    description:
      'The rate limits of your account, by lane. A lane has the name of a model or of a group of models. Models that no lane names share the lane `default`. The lane `moderation` is for the moderation endpoint.',
  }),
  main: mainSchema.prefault({}).meta({ description: 'The main account: that of `OPENAI_API_KEY`.' }),
  upstreams: z.array(upstreamSchema).max(20).default([]).meta({
    description:
      'Further accounts or compatible endpoints. Daypass tries the main account first, then these in their order.',
  }),
  prices: z.record(z.string().min(1), priceSchema).default({}).meta({
    description: "Prices by model. They win over Daypass' own prices, and add models that it has no price for.",
  }),
  operator: operatorSchema.default({}).meta({ description: 'The limits of the operator, above all campaigns.' }),
  guards: guardsSchema.meta({
    description:
      'Guards of your own, beside the moderation endpoint. A flagged input gets `moderation_blocked` and a strike. A flagged output gets the `finish_reason` `content_filter`. A guard that is away gives no verdict: then `on_unavailable` of the policy decides. Content that a guard fails at is refused.',
  }),
});

export const configFileSchema = wholeSchema.superRefine(refuseStrayUpstreams);
export type ConfigFile = z.infer<typeof configFileSchema>;

/** Without this check the lane that was read last would pace a model of two lanes. */
function refuseSharedModels(lanes: Record<string, LaneSettings>, context: z.RefinementCtx): void {
  const laneOf = new Map(Object.keys(lanes).map((lane) => [lane, lane]));
  for (const [lane, { models }] of Object.entries(lanes)) {
    for (const model of models) {
      const other = laneOf.get(model);
      if (other !== undefined && other !== lane)
        context.addIssue({ code: 'custom', path: [lane, 'models'], message: `${model} is in the lane ${other} too` });
      laneOf.set(model, lane);
    }
  }
}

function refuseStrayUpstreams({ lanes, upstreams }: z.infer<typeof wholeSchema>, context: z.RefinementCtx): void {
  const callLanes = new Set([...Object.keys(lanes), 'default']);
  callLanes.delete('moderation');
  const refuse = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  for (const [index, { name, lanes: served, ...upstream }] of upstreams.entries()) {
    if (upstream.api_version !== undefined && kindOf(upstream) !== 'azure')
      refuse(['upstreams', index, 'api_version'], 'is for Azure OpenAI only: say kind: azure, or leave it out');
    if (upstream.api_version !== undefined && /\/v1\/*$/.test(upstream.base_url))
      refuse(
        ['upstreams', index, 'base_url'],
        'must end with /openai where there is an api_version; /openai/v1 has none',
      );
    if (upstreams.findIndex((other) => other.name === name) < index)
      refuse(['upstreams', index, 'name'], `${name} is there twice`);
    for (const lane of Object.keys(served ?? {})) {
      if (!callLanes.has(lane))
        refuse(['upstreams', index, 'lanes', lane], `is no lane for calls: the lanes are ${[...callLanes].join(', ')}`);
    }
  }
  for (const [lane, { elsewhere_only: elsewhere }] of Object.entries(lanes)) {
    const served = upstreams.some((upstream) => lane !== 'moderation' && (!upstream.lanes || upstream.lanes[lane]));
    if (elsewhere && !served) refuse(['lanes', lane, 'elsewhere_only'], 'no upstream of the list serves this lane');
  }
}
