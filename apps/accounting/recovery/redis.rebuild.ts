import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { STRIKES_MAX } from '#libs/contracts/policy.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { KnownHold } from '#libs/holds/hold.types.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountProjector, type Account } from '../accounts/account.projector.js';
import { LinkProjector } from '../accounts/link.projector.js';
import { BalanceRepository } from '../books/balance.repository.js';
import { NO_BALANCE, type Balance } from '../domain/balance.js';
import { dayOwner, OPERATOR_TOTAL } from '../domain/owner.js';
import { dateOfDay, dayOf } from '../domain/period.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { isDrainedTo, journalHead, raiseJournalTo } from '../books/journal.stream.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { StrikeRepository } from '../books/strike.repository.js';
import { CallHistory } from './call.history.js';

/** The scripts keep it as long (common.include.lua). */
const DAY_LIFE_MS = 3 * 86_400_000;
/** No usual window reaches further back. */
const STRIKES_LIFE_MS = 7 * 86_400_000;
const DRAIN_TIMEOUT_MS = 30_000;
const HOLD_BATCH = 1_000;
/** Twice the time for which workers repeat their last ends (recent-ends.ts). */
const RECENT_MS = 60_000;
/** No upstream call takes longer. Its worker may still correct the presumption. */
const LONGEST_CALL_MS = 2 * 3_600_000;

/**
 * Fills Redis from Postgres while the door is closed: definitions, balances, and the holds that a worker may still
 * claim or end. Open holds come back in their state. The sweeper ends those that no worker claims.
 */
@Injectable()
export class RedisRebuild {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly holds: HoldStore,
    private readonly ledger: LedgerRepository,
    private readonly history: CallHistory,
    private readonly balances: BalanceRepository,
    private readonly strikes: StrikeRepository,
    private readonly projector: AccountProjector,
    private readonly links: LinkProjector,
  ) {}

  /** @throws when a store fails, or accounting cannot drain the journal; a caller may run it again */
  async run(): Promise<void> {
    const startedMs = performance.now();
    await this.drained();
    await this.forgetHolds();
    const open = await this.restoreHolds();
    const accounts = (await this.bring(Campaign, 'campaign:', open)) + (await this.bring(Key, 'key:', open));
    await this.bringOperator();
    await this.bringStrikes();
    await this.links.projectAll();
    const drained = await this.ledger.drainedTo();
    if (drained) await raiseJournalTo(this.redis, drained.journalId);
    const calls = [...open.values()].reduce((sum, count) => sum + count, 0);
    // The very first start rebuilds nothing of worth.
    this.logger[accounts > 0 ? 'warn' : 'info'](
      { accounts, calls, ms: Math.round(performance.now() - startedMs) },
      'accounting rebuilt Redis from the ledger',
    );
  }

  /** Books what Redis still has of calls. */
  private async drained(): Promise<void> {
    const head = await journalHead(this.redis);
    const deadline = performance.now() + DRAIN_TIMEOUT_MS;
    while (!(await isDrainedTo(this.redis, head))) {
      if (performance.now() > deadline) throw new Error('accounting has not drained the journal yet');
      await sleep(20);
    }
  }

  private async forgetHolds(): Promise<void> {
    for (;;) {
      const ids = await this.redis.zrange(redisKeys.leases, 0, HOLD_BATCH - 1);
      if (ids.length === 0) return;
      await this.redis.del(...ids.map((id) => redisKeys.hold(id)));
      await this.redis.zrem(redisKeys.leases, ...ids);
    }
  }

  /** Returns the number of open calls for each key. */
  private async restoreHolds(): Promise<Map<string, number>> {
    const open = new Map<string, number>();
    const holds = await this.history.openHolds();
    for (const { keyId } of holds) open.set(keyId, (open.get(keyId) ?? 0) + 1);
    await this.restore(
      holds.map((hold) => ({
        ...hold,
        state: hold.dispatched ? 'dispatched' : 'held',
        paidNano: 0n,
        absorbedNano: 0n,
      })),
    );
    const now = (await this.ledger.drainedTo())?.atMs ?? Date.now();
    await this.restore(
      (await this.history.presumedSince(now - LONGEST_CALL_MS)).map((call) => ({ ...call, attempt: 1 })),
    );
    await this.restore((await this.history.recentEnds(now - RECENT_MS)).map((call) => ({ ...call, attempt: 1 })));
    return open;
  }

  private async restore(holds: readonly KnownHold[]): Promise<void> {
    for (let start = 0; start < holds.length; start += HOLD_BATCH) {
      await Promise.all(holds.slice(start, start + HOLD_BATCH).map((hold) => this.holds.restore(hold)));
    }
  }

  private async bring<T extends Account>(
    entity: new () => T,
    prefix: 'key:' | 'campaign:',
    open: ReadonlyMap<string, number>,
  ): Promise<number> {
    const balances = await this.balances.balancesOfAll(this.source.manager, prefix);
    let accounts = 0;
    await this.projector.eachBatch(entity, async (rows) => {
      accounts += rows.length;
      const pipeline = this.redis.pipeline();
      for (const row of rows) {
        const balance = balances.get(row.id) ?? NO_BALANCE;
        const hash = row instanceof Key ? redisKeys.key(row.id) : redisKeys.campaign(row.id);
        pipeline.hset(hash, ...fieldsOf(balance), ...(row instanceof Key ? ['running', open.get(row.id) ?? 0] : []));
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
      await this.projector.project(rows);
    });
    return accounts;
  }

  /** The next strike counts together with those before it. A visitor's rest goes on. */
  private async bringStrikes(): Promise<void> {
    const since = new Date((await redisNowMs(this.redis)) - STRIKES_LIFE_MS);
    const pipeline = this.redis.pipeline();
    for (const [id, { times, cooldownUntilMs, claimed }] of await this.strikes.recent(this.source.manager, since)) {
      const newest = times.slice(0, STRIKES_MAX);
      pipeline.hset(
        claimed ? redisKeys.visitor(id) : redisKeys.key(id),
        'strike_times',
        newest.join(' '),
        'cooldown_until',
        cooldownUntilMs,
      );
    }
    for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
  }

  /**
   * Adds what Redis does not have of the absorbed amounts: an older Daypass counted none there. The ledger books them
   * after Redis counts them, so that Redis never has less by right. Only one process at a time may do this.
   */
  async raiseAbsorbed(): Promise<void> {
    const today = dayOf(await redisNowMs(this.redis));
    const hashOf = new Map([
      [OPERATOR_TOTAL, redisKeys.operatorTotal],
      ...[today - 1, today].map((day) => [dayOwner(dateOfDay(day)), `${redisKeys.operatorPrefix}${day}`] as const),
    ]);
    for (const [owner, nano] of await this.balances.absorbed(this.source.manager)) {
      const hash = hashOf.get(owner) ?? accountHash(owner);
      if (hash === undefined) continue;
      const missing = nano - BigInt((await this.redis.hget(hash, 'absorbed')) ?? 0);
      if (missing > 0n) await this.redis.hincrby(hash, 'absorbed', missing.toString());
    }
  }

  /** The operator's level of today and of all time. They have no row of their own. */
  async bringOperator(): Promise<void> {
    const today = dayOf(await redisNowMs(this.redis));
    // Calls that began before midnight may still end.
    const owners = [today - 1, today].map((day) => dayOwner(dateOfDay(day)));
    const balances = await this.balances.balancesOf(this.source.manager, [...owners, OPERATOR_TOTAL]);
    for (const [index, day] of [today - 1, today].entries()) {
      const hash = `${redisKeys.operatorPrefix}${day}`;
      await this.redis.hset(hash, ...fieldsOf(balances.get(owners[index]!) ?? NO_BALANCE));
      await this.redis.pexpire(hash, DAY_LIFE_MS);
    }
    await this.redis.hset(redisKeys.operatorTotal, ...fieldsOf(balances.get(OPERATOR_TOTAL) ?? NO_BALANCE));
  }
}

/** undefined: a past day of the operator, which Redis has no more. */
function accountHash(owner: string): string | undefined {
  const [kind, id] = owner.split(':', 2);
  if (kind === 'key') return redisKeys.key(id!);
  return kind === 'campaign' ? redisKeys.campaign(id!) : undefined;
}

function fieldsOf({ spentNano, heldNano, absorbedNano }: Balance): string[] {
  return ['spent', spentNano.toString(), 'held', heldNano.toString(), 'absorbed', absorbedNano.toString()];
}
