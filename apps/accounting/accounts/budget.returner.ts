import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { formatUsd } from '#libs/money/nano.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { AccountStore } from '#libs/holds/account.store.js';
import { Door } from '#libs/holds/door.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { AccountWriter, lockKey } from './account.writer.js';
import { BalanceRepository } from '../books/balance.repository.js';
import { NO_BALANCE } from '../domain/balance.js';
import { keyBudgetTransfers } from '../domain/budget-transfer.js';
import { keyOwner } from '../domain/owner.js';
import { retryAt, budgetReturnOf, type BudgetReturn } from '../domain/budget-return.js';
import { Key } from '../store/entities/key.entity.js';
import { DueWork } from '../due.work.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { LiveBalanceReader } from '../books/live-balance.reader.js';

const EVERY_MS = 1_000;
const BATCH = 500;
const BATCHES_MAX = 20;
/** Half of the pool: requests need connections too. */
const PARALLEL = 5;

/** Returns what revoked and expired keys did not spend to their campaigns. It reads due keys only. */
@Injectable()
export class BudgetReturner extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly door: Door;
  private readonly accounts: AccountStore;

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly balances: BalanceRepository,
    private readonly live: LiveBalanceReader,
    private readonly writer: AccountWriter,
    private readonly shelf: ShelfStore,
    dueWork: DueWork,
  ) {
    super();
    this.door = new Door(redis);
    this.accounts = new AccountStore(redis);
    this.loop = new Periodic(
      EVERY_MS,
      async () => {
        if ((await dueWork.now()).budgets) await this.returnDue();
      },
      (error) => logger.warn({ err: error }, 'accounting could not return the unspent budget of closed keys'),
    );
  }

  async returnDue(): Promise<void> {
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      // While accounting mends Redis, a key's balance there may be too low.
      if (!(await this.door.isOpen())) return;
      // Redis decides by this clock whether a key's time is over.
      const now = new Date(await redisNowMs(this.redis));
      const due = await this.source.manager
        .createQueryBuilder(Key, 'key')
        .where('key.settle_at <= :now', { now })
        .orderBy('key.settle_at')
        .limit(BATCH)
        .getMany();
      if (due.length > 0) await this.returnUnspent(due, now);
      if (due.length < BATCH) return;
    }
  }

  private async returnUnspent(due: readonly Key[], now: Date): Promise<void> {
    const booked = await this.balances.balancesOf(
      this.source.manager,
      due.map(({ id }) => keyOwner(id)),
    );
    const live = await this.live.balancesOf(due.map(({ id }) => redisKeys.key(id)));
    const returns = due.map((key, index) => ({
      key,
      ...budgetReturnOf(key, booked.get(keyOwner(key.id)) ?? NO_BALANCE, live[index]!, now),
    }));
    const unspent = returns.filter(({ returnNano }) => returnNano > 0n);
    const unchanged = returns.filter(({ returnNano }) => returnNano === 0n);
    for (let start = 0; start < unspent.length; start += PARALLEL) {
      const failed = await Promise.all(unspent.slice(start, start + PARALLEL).map((one) => this.giveBack(one, now)));
      unchanged.push(...failed.filter((one) => one !== null));
    }
    // A key that has spent all of its budget is not projected again.
    const closed = unchanged.filter(({ closedAt }) => closedAt !== null);
    await Promise.all(closed.flatMap(({ key }) => [this.accounts.forgetAnswers(key.id), this.shelf.forget(key.id)]));
    await this.postpone(unchanged);
  }

  /** null: done. Otherwise it answers when to try again. */
  private async giveBack(
    { key: seen, returnNano, ...next }: BudgetReturn & { key: Key },
    now: Date,
  ): Promise<(BudgetReturn & { key: Key }) | null> {
    try {
      await this.writer.change(
        (manager) => lockKey(manager, seen.id),
        (key) => {
          if (key.version !== seen.version) throw new Error('somebody changed the key meanwhile');
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
      this.logger.debug(
        { key: seen.id, usd: formatUsd(returnNano) },
        'accounting returned the unspent budget of a closed key',
      );
      return null;
    } catch (error) {
      this.logger.info(
        { err: error, key: seen.id },
        'accounting could not return the unspent budget of a closed key, and tries again',
      );
      return { key: seen, returnNano, closedAt: seen.closedAt, returnDueAt: retryAt(now) };
    }
  }

  /** A key that somebody changed meanwhile got a new due time with the change. */
  private async postpone(returns: readonly (BudgetReturn & { key: Key })[]): Promise<void> {
    if (returns.length === 0) return;
    await this.source.query(
      `UPDATE access.keys SET settle_at = seen.settle_at, closed_at = seen.closed_at
         FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::timestamptz[]) AS seen (id, version, settle_at, closed_at)
        WHERE keys.id = seen.id AND keys.version = seen.version`,
      [
        returns.map(({ key }) => key.id),
        returns.map(({ key }) => key.version),
        returns.map(({ returnDueAt }) => returnDueAt),
        returns.map(({ closedAt }) => closedAt),
      ],
    );
  }
}
