import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';

export const MINUTE_MS = 60_000;

/** What all processes counted within one minute. */
export interface Minute {
  atMs: number;
  calls: number;
  spentNano: bigint;
  flagged: number;
  claims: number;
  refused: Map<string, number>;
  campaigns: Map<string, { calls: number; spentNano: bigint }>;
}

/** Reads the stats of the last two hours, by Redis' clock. */
@Injectable()
export class StatsReader {
  constructor(@Inject(MONEY_REDIS) private readonly redis: Redis) {}

  /** The last `count` minutes, oldest first; the last of them still runs. */
  async last(count: number): Promise<Minute[]> {
    const nowMinute = Math.floor((await redisNowMs(this.redis)) / MINUTE_MS);
    const pipeline = this.redis.pipeline();
    for (let minute = nowMinute - count + 1; minute <= nowMinute; minute++) pipeline.hgetall(redisKeys.stats(minute));
    const answers = (await pipeline.exec()) ?? [];
    return answers.map(([error, fields], index) => {
      if (error) throw error;
      return minuteOf((nowMinute - count + 1 + index) * MINUTE_MS, fields as Record<string, string>);
    });
  }
}

function minuteOf(atMs: number, fields: Record<string, string>): Minute {
  const minute: Minute = {
    atMs,
    calls: Number(fields.calls ?? 0),
    spentNano: BigInt(fields.spent ?? 0),
    flagged: Number(fields.flagged ?? 0),
    claims: Number(fields.claims ?? 0),
    refused: new Map(),
    campaigns: new Map(),
  };
  for (const [field, value] of Object.entries(fields)) {
    const [count, of] = field.split(/:(.*)/s, 2) as [string, string | undefined];
    if (of === undefined) continue;
    if (count === 'refused') minute.refused.set(of, Number(value));
    const campaign = minute.campaigns.get(of) ?? { calls: 0, spentNano: 0n };
    if (count === 'calls') minute.campaigns.set(of, { ...campaign, calls: Number(value) });
    if (count === 'spent') minute.campaigns.set(of, { ...campaign, spentNano: BigInt(value) });
  }
  return minute;
}

export function refusedOf(minutes: readonly Minute[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const { refused } of minutes) for (const [code, count] of refused) sums.set(code, (sums.get(code) ?? 0) + count);
  return Object.fromEntries(sums);
}

export const refusedIn = ({ refused }: Minute): number => [...refused.values()].reduce((sum, count) => sum + count, 0);

/** nano-dollars by campaign. */
export function spentByCampaign(minutes: readonly Minute[]): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const { campaigns } of minutes)
    for (const [id, { spentNano }] of campaigns) sums.set(id, (sums.get(id) ?? 0n) + spentNano);
  return sums;
}
