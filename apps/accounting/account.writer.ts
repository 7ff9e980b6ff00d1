import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { formatUsd } from '#libs/money/nano.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountProjector, type Account } from './account.projector.js';
import { AdminError } from './admin/admin.error.js';
import type { Transfer } from './domain/transfer.js';
import { Campaign } from './entities/campaign.entity.js';
import { Key } from './entities/key.entity.js';
import { LedgerRepository } from './ledger.repository.js';
import { UsageReader } from './usage.reader.js';

interface Decision<T> {
  change: Partial<T>;
  /** What to book for it; the version is the one that the change makes. */
  transfers?: (version: number) => Transfer[];
}

/**
 * Writes accounts: the row and its transfers in one transaction, then the projection. A lower budget goes to Redis
 * before the commit, because only Redis knows, in one step with the calls, whether it still covers what they use.
 */
@Injectable()
export class AccountWriter {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ledger: LedgerRepository,
    private readonly projector: AccountProjector,
    private readonly usage: UsageReader,
  ) {}

  /** All of them or none. `make` may refuse by throwing. @throws AdminError `not_projected` when stored but not in force yet */
  async create<T extends Account>(make: (manager: EntityManager) => Promise<{ accounts: T[]; transfers: Transfer[] }>): Promise<T[]> {
    // A key that is stored but not in force would be told without its secret: better to store nothing.
    await this.projector.assertReachable();
    const accounts = await this.source.transaction(async (manager) => {
      const made = await make(manager);
      await manager.insert(made.accounts[0]!.constructor, made.accounts);
      await this.ledger.book(manager, made.transfers);
      return made.accounts;
    });
    await this.bringIntoForce(accounts);
    return accounts;
  }

  /** Changes one locked row; `decide` says what changes, and may refuse by throwing. */
  async change<T extends Account>(
    find: (manager: EntityManager) => Promise<T>,
    decide: (account: T, manager: EntityManager) => Decision<T> | Promise<Decision<T>>,
  ): Promise<T> {
    let reduced: T | undefined;
    let changed: T;
    try {
      changed = await this.source.transaction(async (manager) => {
        const account = await find(manager);
        const { change, transfers } = await decide(account, manager);
        const next = Object.assign(new (account.constructor as new () => T)(), account, change, { version: account.version + 1, updatedAt: new Date() });
        // TypeORM's save() would read the row once more and write every relation.
        const { id, ...columns } = next as Account;
        await manager.update(next.constructor, { id }, columns as object);
        await this.ledger.book(manager, transfers?.(next.version) ?? []);
        if (next.budgetNano < account.budgetNano) {
          reduced = next;
          await this.reduce(next);
        }
        return next;
      });
    } catch (error) {
      // Redis may have taken the reduction though it was not committed, or though its answer was lost.
      if (reduced)
        await this.projector.repair(reduced).catch((failure: unknown) => this.logger.error({ err: failure }, 'a refused change will be put right shortly'));
      throw error;
    }
    await this.bringIntoForce([changed]);
    return changed;
  }

  /** @throws AdminError `conflict` when the budget would not cover what is used; Redis has changed nothing then */
  private async reduce(account: Account): Promise<void> {
    const { code } = await this.projector.send(account);
    if (code === 'projected') return;
    if (code === 'stale') throw new AdminError('not_projected', 'A former change is still being put right: try again shortly. Nothing was changed.');
    const { spentNano, heldNano } = await this.usage.usageOf(account instanceof Key ? redisKeys.key(account.id) : redisKeys.campaign(account.id));
    const [budget, spent, held] = [account.budgetNano, spentNano, heldNano].map(formatUsd);
    throw new AdminError('conflict', `budget_usd: ${budget} is less than what is spent (${spent}) and held by running calls (${held}). Nothing was changed.`, {
      param: 'budget_usd',
      details: { spent_usd: spent, held_usd: held },
    });
  }

  private async bringIntoForce(accounts: readonly Account[]): Promise<void> {
    try {
      await this.projector.project(accounts);
    } catch (error) {
      this.logger.warn({ err: error, accounts: accounts.length }, 'stored, but not projected yet');
      throw new AdminError(
        'not_projected',
        'The change is stored and will come into force by itself; at the moment Redis does not take it. Do not send it again.',
        {
          details: { ids: accounts.slice(0, 1_000).map(({ id }) => id) },
        },
      );
    }
  }
}

/** Finds and locks. @throws AdminError `not_found` */
export async function lockCampaign(
  manager: EntityManager,
  slug: string,
  mode: 'pessimistic_write' | 'pessimistic_read' = 'pessimistic_write',
): Promise<Campaign> {
  const campaign = await manager.findOne(Campaign, { where: { slug }, lock: { mode } });
  if (!campaign) throw new AdminError('not_found', `There is no campaign '${slug.slice(0, 100)}'.`, { param: 'campaign' });
  return campaign;
}

/** Finds and locks. @throws AdminError `not_found` */
export async function lockKey(manager: EntityManager, id: string): Promise<Key> {
  const key = await manager.findOne(Key, { where: { id }, lock: { mode: 'pessimistic_write' } });
  if (!key) throw new AdminError('not_found', `There is no key '${id.slice(0, 100)}'.`);
  return key;
}
