import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { UNUSED, type Usage } from './balance.repository.js';

export interface LiveBalance extends Usage {
  budgetNano: bigint;
}

/** Balances as the calls see them right now, out of Redis. */
@Injectable()
export class UsageReader {
  constructor(@Inject(MONEY_REDIS) private readonly redis: Redis) {}

  async usageOf(hash: string): Promise<Usage> {
    const [usage] = await this.usageOfMany([hash]);
    return usage ?? UNUSED;
  }

  /** In the order of the hashes; 0 where Redis has none yet. */
  async usageOfMany(hashes: readonly string[]): Promise<LiveBalance[]> {
    const rows = await Promise.all(hashes.map((hash) => this.redis.hmget(hash, 'budget', 'spent', 'held')));
    return rows.map(([budget, spent, held]) => ({
      budgetNano: BigInt(budget ?? 0),
      spentNano: BigInt(spent ?? 0),
      heldNano: BigInt(held ?? 0),
    }));
  }
}
