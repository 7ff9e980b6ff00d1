import { z } from 'zod';

/** Prices of one model at the tier the call was bounded for: whole nano-dollars per token. */
export const ratesSchema = z.object({
  input: z.number().int().nonnegative(),
  cachedInput: z.number().int().nonnegative(),
  cacheWrite: z.number().int().nonnegative(),
  output: z.number().int().nonnegative(),
});
export type Rates = z.infer<typeof ratesSchema>;

/** A model's rates; beyond `aboveTokens` input tokens the `long` rates hold for the whole request. */
export const modelPriceSchema = ratesSchema.extend({
  long: ratesSchema.extend({ aboveTokens: z.number().int().positive() }).optional(),
});
export type ModelPrice = z.infer<typeof modelPriceSchema>;

/** The policy that one call is served under (`CallPolicy`). */
export const callPolicySchema = z.object({
  input: z.enum(['gate', 'parallel', 'observe', 'off']),
  output: z.enum(['gate', 'window', 'trail', 'observe', 'off']),
  thresholds: z.partialRecord(z.string(), z.number()),
  flagsToo: z.array(z.string()).optional(),
  onUnavailable: z.enum(['closed', 'open']),
  guards: z.array(z.string()).optional(),
  strikes: z
    .object({ cooldownAfter: z.number(), cooldownMs: z.number(), suspendAfter: z.number(), windowMs: z.number() })
    .optional(),
});

/**
 * How a check ended, or, where that is not known at the first byte, how it is made; shown in `x-daypass-moderation`.
 * `redacted`: it went on without what was found. `unchecked`: policy `open` with moderation down.
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
 * One call on its way through the queues. It holds ids and numbers only: the body waits encrypted under its own key.
 * Its deadline stands in the hold, on Redis' clock, so that a service with a wrong clock cannot shorten or stretch it.
 */
export const ticketSchema = z.object({
  requestId: z.string(),
  keyId: z.string(),
  campaignId: z.string(),
  /** The ingress process whose reply stream waits for the answer. */
  replyTo: z.string(),
  model: z.string(),
  lane: z.string(),
  stream: z.boolean(),
  /** Whether the visitor asked for the usage chunk of a stream; upstream is always asked. */
  includeUsage: z.boolean(),
  choices: z.number().int().positive(),
  /** Counted input tokens without safety margin; what an aborted call is billed for. */
  inputTokens: z.number().int().nonnegative(),
  /** What the call takes of its lane at most, as providers count it: by characters, and by the caps of all choices. */
  pacedTokens: z.number().int().nonnegative(),
  /** Of its campaign, among keys that wait for the same lane. */
  weight: z.number().positive().default(1),
  /** Output cap of one choice, after clamping. */
  capTokens: z.number().int().positive(),
  /** It is lower than what was asked for, or than the one that a call without a cap gets. */
  capLowered: z.boolean().default(false),
  price: modelPriceSchema,
  /** Fees of hosted tools beside the tokens, decimal nano-dollars. */
  feeNano: z.string().default('0'),
  /** What the tier that was asked for costs in hundredths of the standard price, never below it. */
  tierPercent: z.number().int().min(100).default(100),
  /** The held amount, decimal nano-dollars: the most that the visitor pays. */
  heldNano: z.string(),
  /** UTC days since 1970: the day of the operator's budget that the call counts against. */
  day: z.number().int(),
  /** It came with an idempotency key, so that its answer is kept for a repeat. */
  keepAnswer: z.boolean(),
  policy: callPolicySchema,
  inputVerdict: verdictWordSchema,
  /** How long it may wait for its turn, from then on. */
  patienceMs: z.number().nonnegative().default(0),
  /** Redis time at which the hold was taken, in milliseconds. */
  acceptedMs: z.number(),
  /** W3C's traceparent, where calls are traced. */
  trace: z.string().max(100).optional(),
});
export type Ticket = z.infer<typeof ticketSchema>;

/** One tick's calls of one ingress, judged together because the endpoint takes batches. */
export const MODERATION_BATCH_MAX = 32;
export const moderationJobSchema = z.object({ calls: z.array(ticketSchema).min(1).max(MODERATION_BATCH_MAX) });
export type ModerationJob = z.infer<typeof moderationJobSchema>;

/** So many turns in a lane, of calls that came within one tick: whose they are, the lane's own order says when they come. */
export const TURNS_MAX = 32;
export const turnJobSchema = z.object({ lane: z.string(), turns: z.number().int().min(1).max(TURNS_MAX).catch(1) });
export type TurnJob = z.infer<typeof turnJobSchema>;

/** Queues share one Redis slot with the money, hence the braces. */
export const QUEUE_PREFIX = '{dp}:queue';
export const MODERATION_QUEUE = 'moderation';
/** A lane is named after a model or a group, and a model's name may hold what a queue's may not (`ft:…`). */
export const laneQueue = (lane: string): string => `lane-${encodeURIComponent(lane)}`;
export const TURN_JOB = 'turn';
export const MODERATE_JOB = 'moderate';
