import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { formatUsd } from '#libs/money/nano.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountProjector, type Account } from './account.projector.js';
import { AdminError } from '../domain/admin.error.js';
import type { Transfer } from '../domain/transfer.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { UnitOfWork, type Unit } from '../store/unit-of-work.js';
import { LiveBalanceReader } from '../books/live-balance.reader.js';
import { LiveEvents } from '../live.events.js';

export interface Decision<T> {
  change: Partial<T>;
  /** The bookings of the change, given the version that it makes. */
  transfers?: (version: number) => Transfer[];
}

/**
 * Writes accounts: the row and its transfers in one transaction, then the projection. A lower budget goes to Redis
 * before the commit. Only a script there can compare it, in one step, with what calls have spent and hold.
 */
@Injectable()
export class AccountWriter {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly work: UnitOfWork,
    private readonly ledger: LedgerRepository,
    private readonly projector: AccountProjector,
    private readonly live: LiveBalanceReader,
    private readonly events: LiveEvents,
  ) {}

  /**
   * All of them or none. `make` may refuse by throwing. @throws AdminError `not_projected` when stored but not in force
   * yet
   */
  async create<T extends Account>(
    make: (manager: EntityManager) => Promise<{ accounts: T[]; transfers: Transfer[] }>,
  ): Promise<T[]> {
    // The answer to a key that is not in force would lack its secret. Better to store nothing.
    await this.projector.assertReachable();
    return this.work.run(async (unit) => {
      const { accounts, transfers } = await make(unit.manager);
      await unit.manager.insert(accounts[0]!.constructor, accounts);
      await this.ledger.book(unit.manager, transfers);
      this.announce(unit, accounts);
      return accounts;
    });
  }

  /** Changes one locked row. `decide` returns the change, and may refuse by throwing. */
  async change<T extends Account>(
    find: (manager: EntityManager) => Promise<T>,
    decide: (account: T, manager: EntityManager) => Decision<T> | Promise<Decision<T>>,
  ): Promise<T> {
    return this.work.run(async (unit) => {
      const account = await find(unit.manager);
      const { change, transfers } = await decide(account, unit.manager);
      const next = Object.assign(new (account.constructor as new () => T)(), account, change, {
        version: account.version + 1,
        updatedAt: new Date(),
      });
      // TypeORM's save() would read the row once more and write every relation.
      const { id, ...columns } = next as Account;
      await unit.manager.update(next.constructor, { id }, columns as object);
      await this.ledger.book(unit.manager, transfers?.(next.version) ?? []);
      if (next.budgetNano < account.budgetNano) {
        // Redis may take the reduction although the commit fails, or although its answer gets lost.
        unit.undone.push(() => this.putRight(next));
        await this.reduce(next);
      }
      this.announce(unit, [next]);
      return next;
    });
  }

  /** Changes many rows. `change` returns them as they stand then; it lowers no budget. */
  async changeMany<T extends Account>(change: (manager: EntityManager) => Promise<T[]>): Promise<T[]> {
    return this.work.run(async (unit) => {
      const accounts = await change(unit.manager);
      if (accounts.length > 0) this.announce(unit, accounts);
      return accounts;
    });
  }

  /** Brings into force what former writes have not yet. @throws AdminError `not_projected` */
  async assertInForce(ids: readonly string[]): Promise<void> {
    for (const entity of [Campaign, Key]) {
      const waiting = await this.work.manager
        .createQueryBuilder<Account>(entity, 'row')
        .where('row.id = ANY (:ids) AND row.projected_version < row.version', { ids })
        .getMany();
      if (waiting.length > 0) await this.bringIntoForce(waiting);
    }
  }

  private announce(unit: Unit, accounts: readonly Account[]): void {
    unit.written.push(...accounts.map(({ id }) => id));
    unit.committed.push(() => this.bringIntoForce(accounts).finally(() => this.tell(accounts)));
  }

  private tell(accounts: readonly Account[]): void {
    this.events.changed(
      accounts.map((account) => (account instanceof Key ? account.campaignId : account.id)),
      accounts.flatMap((account) => (account instanceof Key ? account.id : [])),
    );
  }

  private async putRight(reduced: Account): Promise<void> {
    await this.projector
      .repair(reduced)
      .catch((failure: unknown) =>
        this.logger.error({ err: failure }, 'accounting will undo a refused change in Redis shortly'),
      );
  }

  /**
   * @throws AdminError `conflict` when the budget would not cover what is spent and held; Redis keeps the former budget
   * then
   */
  private async reduce(account: Account): Promise<void> {
    const { code } = await this.projector.send(account);
    if (code === 'projected') return;
    if (code === 'stale')
      throw new AdminError(
        'not_projected',
        'A former change is still being put right: try again shortly. Nothing was changed.',
      );
    const { spentNano, heldNano } = await this.live.balanceOf(
      account instanceof Key ? redisKeys.key(account.id) : redisKeys.campaign(account.id),
    );
    const [budget, spent, held] = [account.budgetNano, spentNano, heldNano].map(formatUsd);
    throw new AdminError(
      'conflict',
      `budget_usd: ${budget} is less than what is spent (${spent}) and held by running calls (${held}). Nothing was changed.`,
      {
        param: 'budget_usd',
        details: { spent_usd: spent, held_usd: held },
      },
    );
  }

  private async bringIntoForce(accounts: readonly Account[]): Promise<void> {
    try {
      await this.projector.project(accounts);
    } catch (error) {
      this.logger.warn(
        { err: error, accounts: accounts.length },
        'Postgres stored a change that Redis does not have yet',
      );
      throw new AdminError(
        'not_projected',
        'The change is stored and will come into force by itself; at the moment Redis does not take it. Do not send it again, unless under its Idempotency-Key, which tells its answer.',
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
  if (!campaign)
    throw new AdminError('not_found', `There is no campaign '${slug.slice(0, 100)}'.`, { param: 'campaign' });
  return campaign;
}

/** Finds and locks. @throws AdminError `not_found` */
export async function lockKey(manager: EntityManager, id: string): Promise<Key> {
  const key = await manager.findOne(Key, { where: { id }, lock: { mode: 'pessimistic_write' } });
  if (!key) throw new AdminError('not_found', `There is no key '${id.slice(0, 100)}'.`);
  return key;
}
