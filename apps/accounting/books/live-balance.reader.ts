import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { NO_BALANCE, type Balance, type BudgetBalance } from '../domain/balance.js';

/** The balances that the calls see right now, in Redis. */
@Injectable()
export class LiveBalanceReader {
  constructor(@Inject(MONEY_REDIS) private readonly redis: Redis) {}

  async balanceOf(hash: string): Promise<Balance> {
    const [balance] = await this.balancesOf([hash]);
    return balance ?? NO_BALANCE;
  }

  /** In the order of the hashes; all 0 where Redis has no such hash. */
  async balancesOf(hashes: readonly string[]): Promise<BudgetBalance[]> {
    const rows = await Promise.all(hashes.map((hash) => this.redis.hmget(hash, 'budget', 'spent', 'held', 'absorbed')));
    return rows.map(([budget, spent, held, absorbed]) => ({
      budgetNano: BigInt(budget ?? 0),
      spentNano: BigInt(spent ?? 0),
      heldNano: BigInt(held ?? 0),
      absorbedNano: BigInt(absorbed ?? 0),
    }));
  }
}
