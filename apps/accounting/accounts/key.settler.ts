import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { formatUsd } from '#libs/money/nano.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { Door } from '#libs/holds/door.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountWriter, lockKey } from './account.writer.js';
import { BalanceRepository, UNUSED } from '../books/balance.repository.js';
import { keyBudgetTransfers } from '../domain/budget-transfer.js';
import { keyOwner } from '../domain/owner.js';
import { retryAt, settlementOf, type Settlement } from '../domain/settlement.js';
import { Key } from '../store/entities/key.entity.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { UsageReader } from '../books/usage.reader.js';

const EVERY_MS = 1_000;
const BATCH = 500;
const BATCHES_MAX = 20;
/** Half of the pool: requests need connections too. */
const PARALLEL = 5;

/** Returns what revoked and expired keys did not spend to their campaigns. Looks at keys that are due, never at all of them. */
@Injectable()
export class KeySettler extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly door: Door;

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly balances: BalanceRepository,
    private readonly usage: UsageReader,
    private readonly writer: AccountWriter,
  ) {
    super();
    this.door = new Door(redis);
    this.loop = new Periodic(
      EVERY_MS,
      () => this.settleDue(),
      (error) => logger.warn({ err: error }, 'closed keys were not settled'),
    );
  }

  async settleDue(): Promise<void> {
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      // While Redis is mended, what it says of a key may be too little.
      if (!(await this.door.isOpen())) return;
      // By the clock that lets calls in, or not.
      const now = new Date(await redisNowMs(this.redis));
      const due = await this.source.manager
        .createQueryBuilder(Key, 'key')
        .where('key.settle_at <= :now', { now })
        .orderBy('key.settle_at')
        .limit(BATCH)
        .getMany();
      if (due.length > 0) await this.settle(due, now);
      if (due.length < BATCH) return;
    }
  }

  private async settle(due: readonly Key[], now: Date): Promise<void> {
    const booked = await this.balances.usageOf(
      this.source.manager,
      due.map(({ id }) => keyOwner(id)),
    );
    const live = await this.usage.usageOfMany(due.map(({ id }) => redisKeys.key(id)));
    const settlements = due.map((key, index) => ({
      key,
      ...settlementOf(key, booked.get(keyOwner(key.id)) ?? UNUSED, live[index]!, now),
    }));
    const unspent = settlements.filter(({ returnNano }) => returnNano > 0n);
    const rest = settlements.filter(({ returnNano }) => returnNano === 0n);
    for (let start = 0; start < unspent.length; start += PARALLEL) {
      const kept = await Promise.all(
        unspent.slice(start, start + PARALLEL).map((settlement) => this.giveBack(settlement, now)),
      );
      rest.push(...kept.filter((settlement) => settlement !== null));
    }
    await this.postpone(rest);
  }

  /** Returns when to try again where it did not work. */
  private async giveBack(
    { key: seen, returnNano, ...next }: Settlement & { key: Key },
    now: Date,
  ): Promise<(Settlement & { key: Key }) | null> {
    try {
      await this.writer.change(
        (manager) => lockKey(manager, seen.id),
        (key) => {
          if (key.version !== seen.version) throw new Error('the key was changed meanwhile');
          const transfer = {
            campaignId: key.campaignId,
            keyId: key.id,
            deltaNano: -returnNano,
            at: now,
            back: key.status === 'revoked' ? 'return' : 'expire',
          } as const;
          return {
            change: { budgetNano: key.budgetNano - returnNano, returnedNano: key.returnedNano + returnNano, ...next },
            transfers: (version) => keyBudgetTransfers({ ...transfer, version }),
          };
        },
      );
      this.logger.debug({ key: seen.id, usd: formatUsd(returnNano) }, 'the unspent budget of a closed key went back');
      return null;
    } catch (error) {
      this.logger.info({ err: error, key: seen.id }, 'the unspent budget of a closed key goes back later');
      return { key: seen, returnNano, closedAt: seen.closedAt, settleAt: retryAt(now) };
    }
  }

  /** A key that was changed meanwhile has a new time of its own. */
  private async postpone(settlements: readonly (Settlement & { key: Key })[]): Promise<void> {
    if (settlements.length === 0) return;
    await this.source.query(
      `UPDATE access.keys SET settle_at = seen.settle_at, closed_at = seen.closed_at
         FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::timestamptz[]) AS seen (id, version, settle_at, closed_at)
        WHERE keys.id = seen.id AND keys.version = seen.version`,
      [
        settlements.map(({ key }) => key.id),
        settlements.map(({ key }) => key.version),
        settlements.map(({ settleAt }) => settleAt),
        settlements.map(({ closedAt }) => closedAt),
      ],
    );
  }
}
