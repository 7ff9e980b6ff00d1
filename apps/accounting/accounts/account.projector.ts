import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource, type EntityManager } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { AccountStore, type ProjectionAnswer } from '#libs/holds/account.store.js';
import { redisKeys } from '#libs/redis/keys.js';
import { campaignProjection, keyProjection } from '../domain/projection.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';

export type Account = Campaign | Key;

const SCAN_BATCH = 1_000;

/** Brings campaigns and keys from Postgres to Redis, where calls read them. The newest version wins. */
@Injectable()
export class AccountProjector {
  private readonly accounts: AccountStore;
  /** Accounts whose version in Redis Postgres never committed. */
  private readonly ahead = new Map<string, Account>();

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly shelf: ShelfStore,
  ) {
    this.accounts = new AccountStore(redis);
  }

  /** Sends one row as it stands. Redis checks that it is newer, and that the budget covers what is spent and held. */
  send(account: Account): Promise<ProjectionAnswer> {
    return account instanceof Key
      ? this.accounts.projectKey(keyProjection(account))
      : this.accounts.projectCampaign(campaignProjection(account));
  }

  /** @throws when Redis does not answer */
  async assertReachable(): Promise<void> {
    await this.redis.ping();
  }

  /**
   * Sends committed rows and marks those that Redis took. @throws when Redis refused one; the pending loop tries again
   */
  async project(accounts: readonly Account[]): Promise<void> {
    const answers = await Promise.all(accounts.map((account) => this.send(account)));
    const arrived = accounts.filter((account, index) => {
      const { code, usedNano } = answers[index]!;
      // The newer version in Redis may be a later change, or one that Postgres never committed. `repair` finds out.
      if (code === 'stale') this.ahead.set(account.id, account);
      if (code === 'below')
        this.logger.error(
          { account: account.id, usedNano: usedNano.toString() },
          'Redis refused a budget that no longer covers what is spent and held, and keeps the former one',
        );
      return code === 'projected';
    });
    await this.forgetShelves(arrived);
    await this.mark(this.source.manager, arrived);
    if (this.ahead.size > 0) await this.repairAhead();
  }

  /** Deletes what keys could name later, where their campaign is closed or keeps nothing, or the key keeps nothing. */
  private async forgetShelves(accounts: readonly Account[]): Promise<void> {
    const ended = accounts.filter(keepsNothing);
    if (ended.length === 0 || (await this.shelf.isEmpty())) return;
    for (const account of ended) {
      if (account instanceof Key) await this.shelf.forget(account.id);
      else await this.forgetShelvesOf(account.id);
    }
  }

  private async forgetShelvesOf(campaignId: string): Promise<void> {
    for (let last = '', count = SCAN_BATCH; count === SCAN_BATCH;) {
      const keys = await this.source.query<{ id: string }[]>(
        'SELECT id FROM access.keys WHERE campaign_id = $1 AND id > $2 ORDER BY id LIMIT $3',
        [campaignId, last, SCAN_BATCH],
      );
      await Promise.all(keys.map(({ id }) => this.shelf.forget(id)));
      count = keys.length;
      last = keys.at(-1)?.id ?? '';
    }
  }

  /** Redis took a change that Postgres did not commit: sends the committed row again, under a higher version. */
  async repair(account: Account): Promise<void> {
    this.ahead.set(account.id, account);
    await this.repairAhead();
  }

  /** Whether an account in Redis waits for `repairAhead`. */
  get hasAhead(): boolean {
    return this.ahead.size > 0;
  }

  async repairAhead(): Promise<void> {
    for (const account of [...this.ahead.values()]) {
      await this.source.transaction(async (manager) => {
        const row = await lockAccount(manager, account);
        const version = Number((await this.redis.hget(hashOf(account), 'version')) ?? 0);
        if (!row || version <= row.version) return;
        row.version = version + 1;
        await manager.update(row.constructor, { id: row.id }, { version: row.version });
        await this.send(row);
        await this.mark(manager, [row]);
        this.logger.warn({ account: row.id }, 'Redis had a change that Postgres never committed; accounting undid it');
      });
      this.ahead.delete(account.id);
    }
  }

  /** Finds accounts whose version in Redis is newer, after a crash. */
  async findAhead(): Promise<void> {
    await this.eachVersion((row, version) => {
      if (version > row.version) this.ahead.set(row.id, row);
    });
    await this.repairAhead();
  }

  /** Sends again what a restarted Redis forgot. Its journal does not carry changes of accounts. */
  async findBehind(): Promise<void> {
    const behind: Account[] = [];
    await this.eachVersion((row, version) => {
      if (version < row.version) behind.push(row);
    });
    for (let start = 0; start < behind.length; start += SCAN_BATCH)
      await this.project(behind.slice(start, start + SCAN_BATCH));
  }

  /** Every account with its version in Redis; 0 where Redis has none. */
  private async eachVersion(visit: (row: Account, version: number) => void): Promise<void> {
    for (const entity of [Campaign, Key]) {
      await this.eachBatch<Account>(entity, async (rows) => {
        const versions = await Promise.all(rows.map((row) => this.redis.hget(hashOf(row), 'version')));
        rows.forEach((row, index) => visit(row, Number(versions[index] ?? 0)));
      });
    }
  }

  /** Every campaign or key, in batches. */
  async eachBatch<T extends Account>(entity: new () => T, work: (rows: T[]) => Promise<void>): Promise<void> {
    let last = '';
    for (;;) {
      const rows = await this.source.manager
        .createQueryBuilder(entity, 'row')
        .where('row.id > :last', { last })
        .orderBy('row.id')
        .limit(SCAN_BATCH)
        .getMany();
      if (rows.length > 0) await work(rows);
      if (rows.length < SCAN_BATCH) return;
      last = rows.at(-1)!.id;
    }
  }

  /** Sends what Redis does not have yet. Returns the number of accounts that it sent. */
  async projectPending(): Promise<number> {
    let sent = 0;
    for (const entity of [Campaign, Key]) {
      const rows = await this.source.manager
        .createQueryBuilder(entity, 'row')
        .where('row.projected_version < row.version')
        .orderBy('row.id')
        .limit(SCAN_BATCH)
        .getMany();
      if (rows.length > 0) await this.project(rows);
      sent += rows.length;
    }
    await this.repairAhead();
    return sent;
  }

  async countPending(): Promise<number> {
    const [row] = await this.source.query<{ count: string }[]>(
      `SELECT (SELECT count(*) FROM access.campaigns WHERE projected_version < version) + (SELECT count(*) FROM access.keys WHERE projected_version < version) AS count`,
    );
    return Number(row?.count ?? 0);
  }

  private async mark(manager: EntityManager, accounts: readonly Account[]): Promise<void> {
    for (const [table, rows] of [
      ['campaigns', accounts.filter((account) => account instanceof Campaign)],
      ['keys', accounts.filter((account) => account instanceof Key)],
    ] as const) {
      if (rows.length === 0) continue;
      await manager.query(
        `UPDATE access.${table} SET projected_version = sent.version FROM unnest($1::text[], $2::int[]) AS sent (id, version)
          WHERE ${table}.id = sent.id AND ${table}.projected_version < sent.version`,
        [rows.map(({ id }) => id), rows.map(({ version }) => version)],
      );
    }
  }
}

function keepsNothing(account: Account): boolean {
  return account.moderation?.shelf === 'off' || (account instanceof Campaign && account.status === 'closed');
}

function hashOf(account: Account): string {
  return account instanceof Key ? redisKeys.key(account.id) : redisKeys.campaign(account.id);
}

function lockAccount(manager: EntityManager, account: Account): Promise<Account | null> {
  const entity: new () => Account = account instanceof Key ? Key : Campaign;
  return manager.findOne(entity, { where: { id: account.id }, lock: { mode: 'pessimistic_write' } });
}
