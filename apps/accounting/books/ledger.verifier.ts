import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource, type EntityManager } from 'typeorm';
import type { LedgerProof } from '#libs/contracts/admin/audit.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { BalanceRepository } from './balance.repository.js';
import { NO_BALANCE, type Balance } from '../domain/balance.js';
import { campaignOwner, dayOwner, keyOwner, OPERATOR_TOTAL } from '../domain/owner.js';
import { differencesOf, type Difference } from '../domain/difference.js';
import { dateOfDay, dayOf } from '../domain/period.js';
import { isDrainedTo, journalHead } from './journal.stream.js';
import { countBooked, findLedgerProblems } from './ledger.checks.js';
import { OneAtATime } from '../one-at-a-time.js';
import { LiveBalanceReader } from './live-balance.reader.js';

const DRAIN_TIMEOUT_MS = 5_000;
const REPORTED_MAX = 100;
const BATCH = 1_000;
const STATEMENT_TIMEOUT_MS = 900_000;
const WORK_MEMORY = '64MB';

export type Verification = LedgerProof;

interface AccountRow {
  id: string;
  budget_nano: string;
}

type Table = 'keys' | 'campaigns';

/** A key, a campaign or a level of the operator: Redis and the ledger both have its balance. */
interface Holder {
  id: string;
  /** Its name in `ledger.balances`. */
  owner: string;
  /** Its hash in Redis. */
  hash: string;
  /** null: a setting, not an account, has its budget. */
  budgetNano: bigint | null;
}

/** Proves the books: the ledger by itself (B, C), against Redis (D) and against the provider's bill (E). */
@Injectable()
export class LedgerVerifier {
  private readonly once = new OneAtATime(() => this.run());

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly balances: BalanceRepository,
    private readonly live: LiveBalanceReader,
  ) {}

  verify(): Promise<Verification> {
    return this.once.ask();
  }

  private async run(): Promise<Verification> {
    const problems: string[] = [];
    if (!(await this.drainedTo(await journalHead(this.redis))))
      problems.push('the journal is not drained: the newest calls are not checked');
    const { booked, found, keys, campaigns } = await this.source.transaction('REPEATABLE READ', async (manager) => {
      // These queries read millions of rows and need more time than others.
      await manager.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      // The planner underestimates a fresh month and would compare each row with each.
      await manager.query('SET LOCAL enable_nestloop = off');
      await manager.query(`SET LOCAL work_mem = '${WORK_MEMORY}'`);
      return {
        booked: await countBooked(manager),
        found: await findLedgerProblems(manager, REPORTED_MAX),
        keys: await this.suspects(manager, 'keys'),
        campaigns: await this.suspects(manager, 'campaigns'),
      };
    });
    const differences = await this.confirm([...keys.suspects, ...campaigns.suspects, ...(await this.operatorLevels())]);
    problems.push(...found);
    return {
      ok: problems.length === 0 && differences.length === 0,
      checked: { ...booked, keys: keys.checked, campaigns: campaigns.checked },
      problems: problems.slice(0, REPORTED_MAX),
      differences: differences.slice(0, REPORTED_MAX),
    };
  }

  /** Accounts that differ at first sight. Calls that ran meanwhile explain some of them. */
  private async suspects(manager: EntityManager, table: Table): Promise<{ checked: number; suspects: Holder[] }> {
    const suspects: Holder[] = [];
    let checked = 0;
    let last = '';
    for (;;) {
      const rows = await manager.query<AccountRow[]>(
        `SELECT id, budget_nano FROM access.${table} WHERE id > $1 ORDER BY id LIMIT $2`,
        [last, BATCH],
      );
      const holders = rows.map((row) => holderOf(table, row));
      const [booked, live] = await Promise.all([
        this.balances.balancesOf(
          manager,
          holders.map(({ owner }) => owner),
        ),
        this.live.balancesOf(holders.map(({ hash }) => hash)),
      ]);
      holders.forEach((holder, index) => {
        if (differencesOf(holder.id, expected(holder, booked.get(holder.owner)), live[index]!).length > 0)
          suspects.push(holder);
      });
      checked += rows.length;
      if (rows.length < BATCH) return { checked, suspects };
      last = rows.at(-1)!.id;
    }
  }

  private async operatorLevels(): Promise<Holder[]> {
    const day = dayOf(await redisNowMs(this.redis));
    const date = dateOfDay(day);
    return [
      { id: `operator ${date}`, owner: dayOwner(date), hash: `${redisKeys.operatorPrefix}${day}`, budgetNano: null },
      { id: 'operator total', owner: OPERATOR_TOTAL, hash: redisKeys.operatorTotal, budgetNano: null },
    ];
  }

  /**
   * Compares both as of one journal id. One step reads it together with the balances in Redis; the ledger's balances
   * are then taken as of it. So running calls raise no false alarm.
   */
  private async confirm(holders: readonly Holder[]): Promise<Difference[]> {
    const differences: Difference[] = [];
    for (let start = 0; start < holders.length && differences.length < REPORTED_MAX; start += BATCH) {
      const some = holders.slice(start, start + BATCH);
      const first = await this.compareAtOneEntry(some);
      // A change of a budget reaches Postgres and Redis one after the other. Only a real difference is still there
      // later.
      if (first.length === 0) continue;
      await sleep(300);
      const wrong = new Set(first.map(({ id }) => id));
      differences.push(...(await this.compareAtOneEntry(some.filter(({ id }) => wrong.has(id)))));
    }
    return differences;
  }

  private async compareAtOneEntry(holders: readonly Holder[]): Promise<Difference[]> {
    const exists = (await this.redis.exists(redisKeys.journal)) === 1;
    const step = this.redis.multi();
    for (const { hash } of holders) step.hmget(hash, 'budget', 'spent', 'held', 'absorbed');
    if (exists) step.xinfo('STREAM', redisKeys.journal);
    const answers = (await step.exec()) ?? [];
    const live = holders.map((_, index) => (answers[index]?.[1] ?? []) as (string | null)[]);
    const info = (answers[holders.length]?.[1] ?? []) as unknown[];
    const journalId = exists ? String(info[info.indexOf('last-generated-id') + 1]) : '0-0';
    await this.drainedTo(journalId);
    const { manager } = this.source;
    const booked = await this.balances.balancesAt(
      manager,
      holders.map(({ owner }) => owner),
      journalId,
    );
    const budgets = new Map<string, bigint>();
    for (const table of ['keys', 'campaigns']) {
      const rows = await manager.query<AccountRow[]>(
        `SELECT id, budget_nano FROM access.${table} WHERE id = ANY ($1)`,
        [holders.map(({ id }) => id)],
      );
      for (const row of rows) budgets.set(row.id, BigInt(row.budget_nano));
    }
    return holders.flatMap((holder, index) => {
      const [budget, spent, held, absorbed] = live[index]!;
      const budgetNano = holder.budgetNano === null ? null : (budgets.get(holder.id) ?? holder.budgetNano);
      const here = {
        budgetNano: budgetNano === null ? 0n : BigInt(budget ?? 0),
        spentNano: BigInt(spent ?? 0),
        heldNano: BigInt(held ?? 0),
        absorbedNano: BigInt(absorbed ?? 0),
      };
      return differencesOf(holder.id, expected({ ...holder, budgetNano }, booked.get(holder.owner)), here);
    });
  }

  private async drainedTo(journalId: string): Promise<boolean> {
    const deadline = performance.now() + DRAIN_TIMEOUT_MS;
    while (!(await isDrainedTo(this.redis, journalId))) {
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
    return true;
  }
}

function holderOf(table: Table, { id, budget_nano }: AccountRow): Holder {
  const [owner, hash] =
    table === 'keys' ? [keyOwner(id), redisKeys.key(id)] : [campaignOwner(id), redisKeys.campaign(id)];
  return { id, owner, hash, budgetNano: BigInt(budget_nano) };
}

const expected = ({ budgetNano }: Holder, balance: Balance = NO_BALANCE) => ({
  budgetNano: budgetNano ?? 0n,
  ...balance,
});
