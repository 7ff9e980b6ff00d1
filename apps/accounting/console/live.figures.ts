import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { SERVICES } from '#libs/config/config.js';
import { Door } from '#libs/holds/door.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { PROCESS_LIFE_MS } from '#libs/service/stats.js';
import { dayOf } from '../domain/period.js';

export interface Queue {
  running: number;
  waiting: number;
  oldestMs: number;
}

export interface LivingService {
  name: string;
  ready: boolean;
  processes: number;
}

/** What Redis says of this moment. */
@Injectable()
export class LiveFigures {
  private readonly door: Door;

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly lanes: LaneTable,
    private readonly line: LaneLine,
  ) {
    this.door = new Door(redis);
  }

  /** Calls that wait in a lane, and those that have a hold and wait in none. */
  async queue(): Promise<Queue> {
    const names = this.lanes.names();
    const [open, ...lengths] = await Promise.all([
      this.redis.zcard(redisKeys.leases),
      ...names.map((lane) => this.redis.zcard(redisKeys.laneWaiting(lane))),
    ]);
    const waited = await Promise.all(
      names.filter((_, index) => lengths[index]! > 0).map((lane) => this.line.look(lane)),
    );
    const waiting = lengths.reduce((sum, length) => sum + length, 0);
    return {
      running: Math.max(0, open! - waiting),
      waiting,
      oldestMs: Math.max(0, ...waited.map(({ oldestMs }) => oldestMs)),
    };
  }

  /** What the operator's day and all time have used up: spent, and absorbed; nano-dollars. */
  async operator(): Promise<{ todayNano: bigint; totalNano: bigint }> {
    const today = dayOf(await redisNowMs(this.redis));
    const used = async (hash: string): Promise<bigint> => {
      const [spent, absorbed] = await this.redis.hmget(hash, 'spent', 'absorbed');
      return BigInt(spent ?? 0) + BigInt(absorbed ?? 0);
    };
    const [todayNano, totalNano] = await Promise.all([
      used(`${redisKeys.operatorPrefix}${today}`),
      used(redisKeys.operatorTotal),
    ]);
    return { todayNano, totalNano };
  }

  /** How old the oldest booking is that Postgres does not have yet. */
  async booksLagMs(): Promise<number> {
    const [oldest] = await this.redis.xrange(redisKeys.journal, '-', '+', 'COUNT', 1);
    return oldest === undefined ? 0 : Math.max(0, (await redisNowMs(this.redis)) - Number(oldest[0].split('-')[0]));
  }

  /** All services, whether or not a process of them lives. Without accounting's word none lets a call in. */
  async services(): Promise<LivingService[]> {
    const since = (await redisNowMs(this.redis)) - PROCESS_LIFE_MS;
    const [living, isOpen] = await Promise.all([
      this.redis.zrangebyscore(redisKeys.processes, since, '+inf'),
      this.door.isOpen(),
    ]);
    return SERVICES.map((name) => {
      const processes = living.filter((process) => process.startsWith(`${name}:`)).length;
      return { name, ready: processes > 0 && isOpen, processes };
    });
  }
}
