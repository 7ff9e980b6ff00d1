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
import { BalanceRepository, UNUSED } from '../books/balance.repository.js';
import { dayOwner, OPERATOR_TOTAL } from '../domain/owner.js';
import { dateOfDay, dayOf } from '../domain/period.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { isDrainedTo, journalHead, raiseJournalTo } from '../books/journal.stream.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { StrikeRepository } from '../notices/strike.repository.js';

/** As long as the scripts keep it (common.include.lua). */
const DAY_LIFE_MS = 3 * 86_400_000;
/** Older strikes count in no usual window. */
const STRIKES_LIFE_MS = 7 * 86_400_000;
const DRAIN_TIMEOUT_MS = 30_000;
const HOLD_BATCH = 1_000;
/** What workers may say again (recent-ends.ts), doubled. */
const RECENT_MS = 60_000;
/** No upstream call takes longer, so that its worker may still correct what was presumed. */
const LONGEST_CALL_MS = 2 * 3_600_000;

/**
 * Fills Redis from Postgres while the door is closed: definitions, balances, and the holds that a worker may still speak
 * about. Open holds come back as they are, so that the sweeper ends those that nobody answers for by their state.
 */
@Injectable()
export class RedisRebuild {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly holds: HoldStore,
    private readonly ledger: LedgerRepository,
    private readonly balances: BalanceRepository,
    private readonly strikes: StrikeRepository,
    private readonly projector: AccountProjector,
  ) {}

  /** @throws when a store fails, or the journal cannot be drained; it may be run again */
  async run(): Promise<void> {
    const startedMs = performance.now();
    await this.drained();
    await this.forgetHolds();
    const open = await this.restoreHolds();
    const accounts = (await this.bring(Campaign, 'campaign:', open)) + (await this.bring(Key, 'key:', open));
    await this.bringOperator();
    await this.bringStrikes();
    const drained = await this.ledger.drainedTo();
    if (drained) await raiseJournalTo(this.redis, drained.journalId);
    const calls = [...open.values()].reduce((sum, count) => sum + count, 0);
    // At the very first start there is nothing to lose.
    this.logger[accounts > 0 ? 'warn' : 'info'](
      { accounts, calls, ms: Math.round(performance.now() - startedMs) },
      'Redis was rebuilt from the ledger',
    );
  }

  /** What Redis still knows of calls is booked first. */
  private async drained(): Promise<void> {
    const head = await journalHead(this.redis);
    const deadline = performance.now() + DRAIN_TIMEOUT_MS;
    while (!(await isDrainedTo(this.redis, head))) {
      if (performance.now() > deadline) throw new Error('the journal is not drained yet');
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

  /** Returns how many calls of each key are open. */
  private async restoreHolds(): Promise<Map<string, number>> {
    const open = new Map<string, number>();
    const holds = await this.ledger.openHolds();
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
      (await this.ledger.presumedSince(now - LONGEST_CALL_MS)).map((call) => ({ ...call, attempt: 1 })),
    );
    await this.restore((await this.ledger.recentEnds(now - RECENT_MS)).map((call) => ({ ...call, attempt: 1 })));
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
    const usages = await this.balances.usageOfAll(this.source.manager, prefix);
    let accounts = 0;
    await this.projector.eachBatch(entity, async (rows) => {
      accounts += rows.length;
      const pipeline = this.redis.pipeline();
      for (const row of rows) {
        const { spentNano, heldNano } = usages.get(row.id) ?? UNUSED;
        const hash = row instanceof Key ? redisKeys.key(row.id) : redisKeys.campaign(row.id);
        pipeline.hset(
          hash,
          'spent',
          spentNano.toString(),
          'held',
          heldNano.toString(),
          ...(row instanceof Key ? ['running', open.get(row.id) ?? 0] : []),
        );
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
      await this.projector.project(rows);
    });
    return accounts;
  }

  /** What follows from the next strike is reckoned with those before it; a rest that is under way goes on. */
  private async bringStrikes(): Promise<void> {
    const since = new Date((await redisNowMs(this.redis)) - STRIKES_LIFE_MS);
    const pipeline = this.redis.pipeline();
    for (const [keyId, { times, cooldownUntilMs }] of await this.strikes.recent(this.source.manager, since)) {
      const newest = times.slice(0, STRIKES_MAX);
      pipeline.hset(redisKeys.key(keyId), 'strike_times', newest.join(' '), 'cooldown_until', cooldownUntilMs);
    }
    for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
  }

  /** Today's and all-time levels of the operator, which have no account of their own. */
  async bringOperator(): Promise<void> {
    const today = dayOf(await redisNowMs(this.redis));
    // Calls that began before midnight may still end.
    const owners = [today - 1, today].map((day) => dayOwner(dateOfDay(day)));
    const usages = await this.balances.usageOf(this.source.manager, [...owners, OPERATOR_TOTAL]);
    for (const [index, day] of [today - 1, today].entries()) {
      const hash = `${redisKeys.operatorPrefix}${day}`;
      const { spentNano, heldNano } = usages.get(owners[index]!) ?? UNUSED;
      await this.redis.hset(hash, 'spent', spentNano.toString(), 'held', heldNano.toString());
      await this.redis.pexpire(hash, DAY_LIFE_MS);
    }
    const { spentNano, heldNano } = usages.get(OPERATOR_TOTAL) ?? UNUSED;
    await this.redis.hset(redisKeys.operatorTotal, 'spent', spentNano.toString(), 'held', heldNano.toString());
  }
}
