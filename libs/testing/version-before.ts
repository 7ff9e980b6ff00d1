import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Ticket } from '#libs/contracts/jobs.js';
import { Door } from '#libs/holds/door.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';

/** A string, or bytes that are none. */
type Recorded = string | { base64: string };

type RecordedValue =
  | { type: 'string'; value: Recorded }
  | { type: 'hash'; value: Record<string, Recorded> }
  | { type: 'list' | 'zset'; value: string[] };

/**
 * What the version before the seam (commit ee09fd9) left in Redis and in the record while six calls were on their way. Its
 * services wrote all of it.
 */
interface VersionBefore {
  secret: string;
  /** Virtual keys of two campaigns: one judges everything, one nothing. */
  keys: { gated: string; unjudged: string };
  /** Request ids, by how far each call had come. */
  calls: { ended: string; flagged: string; dispatched: string; inLane: string; judged: [string, string] };
  /** The call that ended came under an idempotency key. */
  kept: { name: string; body: object; text: string };
  redis: Record<string, RecordedValue>;
  journal: Record<string, string>[];
  record: { at_ms: string; event: string; content: Recorded }[];
  /** The same record as it was booked. */
  rows: { seq: number; hash: string; row: unknown }[];
}

export const BEFORE = JSON.parse(
  readFileSync(join(import.meta.dirname, 'version-before.json'), 'utf8'),
) as VersionBefore;

export const bytesOf = (value: Recorded): Buffer =>
  typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.base64, 'base64');

/** A waiting call may wait for so long from now on. */
const PATIENCE_MS = 60_000;

/** Fills an empty Redis with what the version before left, as if that were a moment ago. */
export async function restoreBefore(redis: Redis): Promise<void> {
  for (const [key, recorded] of Object.entries(BEFORE.redis)) {
    switch (recorded.type) {
      case 'string':
        await redis.set(key, bytesOf(recorded.value));
        break;
      case 'hash':
        await redis.hset(key, new Map(Object.entries(recorded.value).map(([name, value]) => [name, bytesOf(value)])));
        break;
      case 'list':
        await redis.rpush(key, ...recorded.value);
        break;
      case 'zset':
        for (let at = 0; at < recorded.value.length; at += 2)
          await redis.zadd(key, recorded.value[at + 1]!, recorded.value[at]!);
    }
  }
  const untilMs = (await redisNowMs(redis)) + PATIENCE_MS;
  for (const requestId of await redis.zrange(redisKeys.leases, 0, -1)) {
    await redis.zadd(redisKeys.leases, 'XX', untilMs, requestId);
    await redis.hset(redisKeys.hold(requestId), 'deadline_ms', untilMs);
  }
  await new Door(redis).set('open', 1);
}

const formerRates = z.object({
  input: z.number().int().nonnegative(),
  cachedInput: z.number().int().nonnegative(),
  cacheWrite: z.number().int().nonnegative(),
  output: z.number().int().nonnegative(),
});

const FORMER_WORDS = [
  'pass',
  'blocked',
  'redacted',
  'flagged',
  'unchecked',
  'off',
  'observe',
  'parallel',
  'gate',
] as const;

/** How the version before reads a ticket. */
export const formerTicketSchema = z.object({
  requestId: z.string(),
  keyId: z.string(),
  campaignId: z.string(),
  replyTo: z.string(),
  model: z.string(),
  lane: z.string(),
  stream: z.boolean(),
  includeUsage: z.boolean(),
  choices: z.number().int().positive(),
  inputTokens: z.number().int().nonnegative(),
  pacedTokens: z.number().int().nonnegative(),
  weight: z.number().positive().default(1),
  capTokens: z.number().int().positive(),
  capLowered: z.boolean().default(false),
  price: formerRates.extend({ long: formerRates.extend({ aboveTokens: z.number().int().positive() }).optional() }),
  feeNano: z.string().default('0'),
  tierPercent: z.number().int().min(100).default(100),
  heldNano: z.string(),
  day: z.number().int(),
  keepAnswer: z.boolean(),
  policy: z.object({
    input: z.enum(['gate', 'parallel', 'observe', 'off']),
    output: z.enum(['gate', 'window', 'trail', 'observe', 'off']),
    thresholds: z.partialRecord(z.string(), z.number()),
    flagsToo: z.array(z.string()).optional(),
    onUnavailable: z.enum(['closed', 'open']),
    guards: z.array(z.string()).optional(),
    strikes: z
      .object({ cooldownAfter: z.number(), cooldownMs: z.number(), suspendAfter: z.number(), windowMs: z.number() })
      .optional(),
  }),
  inputVerdict: z.enum([...FORMER_WORDS, 'window', 'trail']),
  patienceMs: z.number().nonnegative().default(0),
  acceptedMs: z.number(),
  trace: z.string().max(100).optional(),
});
export type FormerTicket = z.infer<typeof formerTicketSchema>;

/** A call's ticket as the version before had put it into the lane, or into moderation's queue. */
export function formerTicket(requestId: string): FormerTicket {
  const inLane = BEFORE.redis[redisKeys.ticket(requestId)];
  if (inLane?.type === 'string') return formerTicketSchema.parse(JSON.parse(bytesOf(inLane.value).toString()));
  const job = Object.entries(BEFORE.redis).find(([key]) => key.endsWith(`:${requestId}-moderate`))?.[1];
  if (job?.type !== 'hash') throw new Error(`no ticket of ${requestId} was recorded`);
  const { calls } = JSON.parse(bytesOf(job.value.data!).toString()) as { calls: unknown[] };
  return formerTicketSchema.parse(calls[0]);
}

/** The same ticket as this version has it. */
export function ticketNow(requestId: string): Ticket {
  const { choices, includeUsage, ...rest } = formerTicket(requestId);
  return { ...rest, outputs: choices, facts: { includeUsage } };
}
