import { z } from 'zod';
import { time } from './leaves.js';

/** Requests, tokens, images or seconds of sound within the last minute or the last 24 hours. */
const use = z.object({
  /** null: no limit is set or learnt, so that only a 429 stops the lane. */
  limit: z.number().nullable(),
  used: z.number(),
});
const rate = z.number().nullable();

const upstreamAnswer = z.object({
  upstream: z.string(),
  requests: use,
  tokens: use,
  /** null: nothing limits a day. */
  requests_per_day: use.nullable(),
  tokens_per_day: use.nullable(),
  /** null: nothing limits them. */
  images: use.nullable(),
  audio_seconds: use.nullable(),
  /** The limits in DAYPASS_CONFIG. The upstream may have changed the limits in force since. */
  configured: z.object({ rpm: rate, tpm: rate, ipm: rate, audio_seconds_per_minute: rate, fixed: z.boolean() }),
  frozen_until: time.nullable(),
  /** Forwarding does not ask it until then: it was away (`failing`), or it refuses the account (`account`). */
  left_alone: z.object({ until: time, why: z.string() }).nullable(),
  failures_in_a_row: z.int(),
});
export type LaneUpstreamView = z.output<typeof upstreamAnswer>;

export const laneAnswer = z.object({
  lane: z.string(),
  /** Models that the lane is named for. Empty for `default`, which has all others, and for `moderation`. */
  models: z.array(z.string()),
  /** Of all upstreams together. */
  requests: use,
  tokens: use,
  /** null: nothing limits them. */
  images: use.nullable(),
  audio_seconds: use.nullable(),
  /** null where at least one upstream is not frozen. */
  frozen_until: time.nullable(),
  waiting: z.object({ calls: z.int(), tokens: z.number(), next: z.string().nullable(), oldest_seconds: z.number() }),
  /** Each campaign's tokens within the last whole minute, and their share of all. */
  shares: z.array(
    z.object({ campaign: z.string(), slug: z.string().nullable(), tokens: z.number(), share: z.number() }),
  ),
  upstreams: z.array(upstreamAnswer),
});
export type LaneShown = z.output<typeof laneAnswer>;
export const lanesAnswer = z.object({ data: z.array(laneAnswer) });
