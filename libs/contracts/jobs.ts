import { z } from 'zod';

/** Prices of one model: whole nano-dollars per token. */
export const ratesSchema = z.object({
  input: z.number().int().nonnegative(),
  cachedInput: z.number().int().nonnegative(),
  cacheWrite: z.number().int().nonnegative(),
  output: z.number().int().nonnegative(),
});
export type Rates = z.infer<typeof ratesSchema>;

/** What providers price separately. `cached` and `cacheWrite` are parts of `input`, which is text; no other is part of another. */
export const METERS = [
  'input',
  'cached',
  'cacheWrite',
  'output',
  'imageInput',
  'imageOutput',
  'audioInput',
  'audioOutput',
  'seconds',
  'characters',
] as const;
export type Meter = (typeof METERS)[number];

/** Whole numbers by meter: tokens, seconds of sound, or characters. */
export const meteredSchema = z.partialRecord(z.enum(METERS), z.number().int().nonnegative());
export type Metered = z.infer<typeof meteredSchema>;

const rate = z.number().int().nonnegative().optional();

/**
 * A model's rates. Beyond `aboveTokens` input tokens the `long` rates hold for the whole request. The optional ones are whole
 * nano-dollars per token, per second, and per character; absent: nobody knows one.
 */
export const modelPriceSchema = ratesSchema.extend({
  imageInput: rate,
  imageOutput: rate,
  audioInput: rate,
  audioOutput: rate,
  seconds: rate,
  characters: rate,
  /** The most tokens of one image that the model makes, where the operator says it. */
  imageTokensPerImage: z.number().int().positive().optional(),
  long: ratesSchema.extend({ aboveTokens: z.number().int().positive() }).optional(),
});
export type ModelPrice = z.infer<typeof modelPriceSchema>;

/**
 * How the tokens of a model are counted. `bytes`: nobody knows its tokenizer. A tokenizer makes at most one token of
 * each byte of UTF-8, so that bytes are a bound.
 */
export const ENCODINGS = ['o200k_base', 'cl100k_base', 'bytes'] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** The policy that one call is served under (`CallPolicy`). */
export const callPolicySchema = z.object({
  input: z.enum(['gate', 'parallel', 'observe', 'off']),
  output: z.enum(['gate', 'window', 'trail', 'observe', 'off']),
  thresholds: z.partialRecord(z.string(), z.number()),
  flagsToo: z.array(z.string()).optional(),
  onUnavailable: z.enum(['closed', 'open']),
  images: z.literal('data').optional(),
  shelf: z.literal('off').optional(),
  guards: z.array(z.string()).optional(),
  strikes: z
    .object({ cooldownAfter: z.number(), cooldownMs: z.number(), suspendAfter: z.number(), windowMs: z.number() })
    .optional(),
});

/**
 * One direction's verdict in `x-daypass-moderation`. Where nobody knows it at the first byte, the policy's mode.
 * `redacted`: it went on without the findings. `unchecked`: no guard gave a verdict.
 */
export const verdictWordSchema = z.enum([
  'pass',
  'blocked',
  'redacted',
  'flagged',
  'unchecked',
  'off',
  'observe',
  'parallel',
  'gate',
  'window',
  'trail',
]);
export type VerdictWord = z.infer<typeof verdictWordSchema>;

/**
 * What a call counts against a lane's limits beside requests and tokens: whole numbers. `drawing`: another model makes the
 * images, and they count against that model's lane: of each upstream there its name, its part of the lane, and the images a
 * minute that DAYPASS_CONFIG says, 0: none. Absent: they count against the call's own lane.
 */
export const pacedUnitsSchema = z.object({
  images: z.number().int().nonnegative().optional(),
  audioSeconds: z.number().int().nonnegative().optional(),
  drawing: z.array(z.object({ name: z.string(), slot: z.string(), ipm: z.number().int().nonnegative() })).optional(),
});
export type PacedUnits = z.infer<typeof pacedUnitsSchema>;

/**
 * One call on its way through the queues, as ids and numbers only. Its encrypted body waits in Redis. Its deadline is
 * in the hold, on Redis' clock, so that a service with a wrong clock cannot change it.
 */
export const ticketSchema = z.object({
  requestId: z.string(),
  keyId: z.string(),
  campaignId: z.string(),
  /** The ingress process whose reply stream waits for the answer. */
  replyTo: z.string(),
  model: z.string(),
  lane: z.string(),
  /** Its API (`Endpoint.name`); absent: chat completions. */
  endpoint: z.string().max(100).optional(),
  stream: z.boolean(),
  /** How many images its body names by their addresses when it comes in; absent: nobody counted them. */
  remoteImages: z.number().int().nonnegative().optional(),
  /** What the endpoint's reader of the answer needs of the request. */
  facts: z.record(z.string().max(40), z.union([z.boolean(), z.number()])).default({}),
  /** How many outputs it asks for, each under the output cap; 0: its API has no output that costs. */
  outputs: z.number().int().nonnegative(),
  /** Counted input tokens without a safety margin, which a broken-off call pays. */
  inputTokens: z.number().int().nonnegative(),
  /** What a broken-off call pays for beside its input and output tokens; absent: nothing. */
  estimate: meteredSchema.optional(),
  /** Images and seconds of sound that it takes of its lane; absent: none. */
  pacedUnits: pacedUnitsSchema.optional(),
  /** What the call takes of its lane at most. Providers count it by characters, and by the caps of all outputs. */
  pacedTokens: z.number().int().nonnegative(),
  /** The weight of its campaign. */
  weight: z.number().positive().default(1),
  /** The cap of each output that the hold covers; 0: its API has no cap. */
  capTokens: z.number().int().nonnegative(),
  /** Daypass lowered the cap below the visitor's, or below its own default. */
  capLowered: z.boolean().default(false),
  price: modelPriceSchema,
  /** Fees of hosted tools beside the tokens, decimal nano-dollars. */
  feeNano: z.string().default('0'),
  /** What the request's service tier costs, in hundredths of the standard price, and never below it. */
  tierPercent: z.number().int().min(100).default(100),
  /** What the model's tiers cost, in hundredths of the standard price; absent: as the version before priced them. */
  tiers: z.record(z.string().max(40), z.number().int().min(1)).optional(),
  /** How the tokens of its model are counted; absent: by o200k, as the version before did. */
  encoding: z.enum(ENCODINGS).optional(),
  /** The held amount, decimal nano-dollars: the most that the visitor pays. */
  heldNano: z.string(),
  /** UTC days since 1970: the day of the operator's budget that the call counts against. */
  day: z.number().int(),
  /** It came with an idempotency key, so that Redis keeps its answer for a repeat. */
  keepAnswer: z.boolean(),
  /** Its ingress takes a large whole answer in frames of bytes; absent: one of the version before, which does not. */
  takesFrames: z.boolean().optional(),
  /** Its ingress takes the body of a whole answer behind its head (`writtenReply`); absent: one of the version before. */
  takesBytes: z.boolean().optional(),
  /** Its ingress takes a whole answer as it comes, whose length nobody knows; absent: one of the version before. */
  takesFlow: z.boolean().optional(),
  /** Where its visitor reaches Daypass, for addresses in the errors of a stream; absent: it is no stream, or of the version before. */
  origin: z.string().max(300).optional(),
  /** Tells repeats of the call, where its output is judged before the visitor has all of it; absent: none is looked for. */
  repeatHash: z.string().max(64).optional(),
  policy: callPolicySchema,
  inputVerdict: verdictWordSchema,
  /** How long it may wait for its turn, after the hold. */
  patienceMs: z.number().nonnegative().default(0),
  /** Redis time at which the hold was taken, in milliseconds. */
  acceptedMs: z.number(),
  /** Parameters of the visitor's that the upstream is not sent, because it does not know them. */
  dropped: z.array(z.string().max(64)).max(64).optional(),
  /** W3C's traceparent, where calls are traced. */
  trace: z.string().max(100).optional(),
});
export type Ticket = z.infer<typeof ticketSchema>;

/** So many calls of one tick share a moderation job, because the moderation endpoint takes batches. */
export const MODERATION_BATCH_MAX = 32;
/** `calls`: tickets as `libs/endpoints/ticket.ts` writes and reads them. */
export const moderationJobSchema = z.object({ calls: z.array(z.unknown()).min(1).max(MODERATION_BATCH_MAX) });
export type ModerationJob = z.infer<typeof moderationJobSchema>;

/** So many turns of calls that came within one tick share a job. The lane's order says whose each turn is. */
export const TURNS_MAX = 32;
export const turnJobSchema = z.object({ lane: z.string(), turns: z.number().int().min(1).max(TURNS_MAX).catch(1) });
export type TurnJob = z.infer<typeof turnJobSchema>;

export const MODERATION_QUEUE = 'moderation';
/** A lane may have the name of a model, which may hold characters that a queue's name may not (`ft:…`). */
export const laneQueue = (lane: string): string => `lane-${encodeURIComponent(lane)}`;
export const TURN_JOB = 'turn';
export const MODERATE_JOB = 'moderate';

/** What visitors ask of the moderation endpoint itself. Their calls have a queue of their own, and never wait for it. */
export const INQUIRY_QUEUE = 'inquiries';
/** The inquiry lies sealed in Redis under its id. */
export const inquiryJobSchema = z.object({
  id: z.string().min(1),
  key: z.string().min(1),
  /** The ingress process whose reply stream waits for the answer. */
  replyTo: z.string().min(1),
  tokens: z.number().int().positive(),
  /** How many results its answer has. */
  results: z.number().int().positive(),
  /** How long it may wait for its turn. */
  patienceMs: z.number().nonnegative(),
});
export type InquiryJob = z.infer<typeof inquiryJobSchema>;
