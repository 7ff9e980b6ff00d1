import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource, type EntityManager } from 'typeorm';
import { MONEY_REDIS } from '#libs/platform/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { BalanceRepository, UNUSED, type Usage } from './balance.repository.js';
import { differencesOf, type Difference } from './domain/difference.js';
import { isDrainedTo, journalHead } from './journal.stream.js';
import { countBooked, findLedgerProblems } from './ledger.checks.js';
import { UsageReader } from './usage.reader.js';

const DRAIN_TIMEOUT_MS = 5_000;
const REPORTED_MAX = 100;
const BATCH = 1_000;

export interface Verification {
  ok: boolean;
  checked: { transfers: number; entries: number; rejected_events: number; keys: number; campaigns: number };
  problems: string[];
  /** Where Redis and the ledger disagree. */
  differences: Difference[];
}

interface AccountRow {
  id: string;
  budget_nano: string;
}

/** Proves the books: the ledger in itself (C, one end per call) and Redis against the ledger (D). */
@Injectable()
export class LedgerVerifier {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly balances: BalanceRepository,
    private readonly usage: UsageReader,
  ) {}

  async verify(): Promise<Verification> {
    const problems: string[] = [];
    if (!(await this.drainedTo(await journalHead(this.redis)))) problems.push('the journal is not drained: the newest calls are not checked');
    const { booked, found, keys, campaigns } = await this.source.transaction('REPEATABLE READ', async (manager) => ({
      booked: await countBooked(manager),
      found: await findLedgerProblems(manager, REPORTED_MAX),
      keys: await this.suspects(manager, 'keys'),
      campaigns: await this.suspects(manager, 'campaigns'),
    }));
    const differences = [...(await this.confirm('keys', keys.suspects)), ...(await this.confirm('campaigns', campaigns.suspects))];
    problems.push(...found);
    return {
      ok: problems.length === 0 && differences.length === 0,
      checked: { ...booked, keys: keys.checked, campaigns: campaigns.checked },
      problems: problems.slice(0, REPORTED_MAX),
      differences: differences.slice(0, REPORTED_MAX),
    };
  }

  /** Accounts that differ at first sight; calls that ran meanwhile make some of them differ for no fault. */
  private async suspects(manager: EntityManager, table: 'keys' | 'campaigns'): Promise<{ checked: number; suspects: string[] }> {
    const usages = await this.balances.usageOfAll(manager, ownerColumn(table));
    const suspects: string[] = [];
    let checked = 0;
    let last = '';
    for (;;) {
      const rows = await manager.query<AccountRow[]>(`SELECT id, budget_nano FROM access.${table} WHERE id > $1 ORDER BY id LIMIT $2`, [last, BATCH]);
      const live = await this.usage.usageOfMany(rows.map(({ id }) => hashOf(table, id)));
      rows.forEach((row, index) => {
        if (differencesOf(row.id, expected(row, usages.get(row.id)), live[index]!).length > 0) suspects.push(row.id);
      });
      checked += rows.length;
      if (rows.length < BATCH) return { checked, suspects };
      last = rows.at(-1)!.id;
    }
  }

  /**
   * Compares both at one and the same place in the journal: Redis' balances are read in one step with the place, the
   * ledger's are counted up to it. So calls in flight cannot raise a false alarm.
   */
  private async confirm(table: 'keys' | 'campaigns', ids: readonly string[]): Promise<Difference[]> {
    const differences: Difference[] = [];
    for (let start = 0; start < ids.length && differences.length < REPORTED_MAX; start += BATCH) {
      const some = ids.slice(start, start + BATCH);
      const first = await this.compareAtOnePlace(table, some);
      // A change of a budget reaches Postgres and Redis one after the other: what is really wrong stays wrong.
      if (first.length === 0) continue;
      await sleep(300);
      differences.push(...(await this.compareAtOnePlace(table, [...new Set(first.map(({ id }) => id))])));
    }
    return differences;
  }

  private async compareAtOnePlace(table: 'keys' | 'campaigns', ids: readonly string[]): Promise<Difference[]> {
    const exists = (await this.redis.exists(redisKeys.journal)) === 1;
    const step = this.redis.multi();
    for (const id of ids) step.hmget(hashOf(table, id), 'budget', 'spent', 'held');
    if (exists) step.xinfo('STREAM', redisKeys.journal);
    const answers = (await step.exec()) ?? [];
    const live = ids.map((_, index) => (answers[index]?.[1] ?? []) as (string | null)[]);
    const info = (answers[ids.length]?.[1] ?? []) as unknown[];
    const place = exists ? String(info[info.indexOf('last-generated-id') + 1]) : '0-0';
    await this.drainedTo(place);
    const { manager } = this.source;
    const usages = await this.balances.usageAt(manager, ownerColumn(table), ids, place);
    const rows = await manager.query<AccountRow[]>(`SELECT id, budget_nano FROM access.${table} WHERE id = ANY ($1)`, [ids]);
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.flatMap((id, index) => {
      const [budget, spent, held] = live[index]!;
      const row = byId.get(id);
      if (!row) return [];
      return differencesOf(id, expected(row, usages.get(id)), { budgetNano: BigInt(budget ?? 0), spentNano: BigInt(spent ?? 0), heldNano: BigInt(held ?? 0) });
    });
  }

  private async drainedTo(place: string): Promise<boolean> {
    const deadline = performance.now() + DRAIN_TIMEOUT_MS;
    while (!(await isDrainedTo(this.redis, place))) {
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
    return true;
  }
}

const ownerColumn = (table: 'keys' | 'campaigns') => (table === 'keys' ? 'key_id' : 'campaign_id');
const hashOf = (table: 'keys' | 'campaigns', id: string): string => (table === 'keys' ? redisKeys.key(id) : redisKeys.campaign(id));
const expected = ({ budget_nano }: AccountRow, usage: Usage = UNUSED) => ({ budgetNano: BigInt(budget_nano), ...usage });
