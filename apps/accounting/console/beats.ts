import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Beat } from '#libs/contracts/admin/console.js';
import { formatUsd } from '#libs/money/nano.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { LiveFigures } from './live.figures.js';
import { MINUTE_MS, StatsReader } from './stats.reader.js';

/** The figures of this second, from Redis alone: they go on while Postgres is away. */
@Injectable()
export class Beats {
  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly stats: StatsReader,
    private readonly figures: LiveFigures,
  ) {}

  /** @throws when Redis does not answer */
  async read(): Promise<Beat> {
    const [nowMs, minutes, { todayNano }, queue, door] = await Promise.all([
      redisNowMs(this.redis),
      this.stats.last(2),
      this.figures.operator(),
      this.figures.queue(),
      this.redis.get(redisKeys.doorSwitch),
    ]);
    const [before, now] = [minutes[0]!, minutes[1]!];
    // The last sixty seconds: this minute so far, and the rest from the one before as if it were spread evenly.
    const restMs = Math.max(0, MINUTE_MS - Math.max(0, nowMs - now.atMs));
    const lately = (then: number, sofar: number): number => sofar + Math.round((then * restMs) / MINUTE_MS);
    const codes = [...new Set([...before.refused.keys(), ...now.refused.keys()])];
    const refused = codes.map(
      (code) => [code, lately(before.refused.get(code) ?? 0, now.refused.get(code) ?? 0)] as const,
    );
    return {
      at: new Date(nowMs).toISOString(),
      spent_today_usd: formatUsd(todayNano),
      spent_per_min_usd: formatUsd(now.spentNano + (before.spentNano * BigInt(restMs)) / BigInt(MINUTE_MS)),
      calls_per_min: lately(before.calls, now.calls),
      running: queue.running,
      waiting: queue.waiting,
      oldest_ms: queue.oldestMs,
      refused: Object.fromEntries(refused.filter(([, count]) => count > 0)),
      claims_per_min: lately(before.claims, now.claims),
      door: door === 'shut' ? 'shut' : 'open',
    };
  }
}
