import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource, type QueryRunner } from 'typeorm';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/platform/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountProjector, type Account } from './account.projector.js';
import { AccountingMetrics } from './accounting.metrics.js';
import { BalanceRepository, UNUSED } from './balance.repository.js';
import { transferOf } from './domain/transfer.js';
import { Campaign } from './entities/campaign.entity.js';
import { Key } from './entities/key.entity.js';
import { isDrainedTo, journalHead } from './journal.stream.js';
import { LedgerRepository, type OpenHold } from './ledger.repository.js';

const LOCK = 0x64_70_02;
const DAY_MS = 86_400_000;
const DRAIN_TIMEOUT_MS = 30_000;
const HOLD_BATCH = 1_000;

/** Fills Redis from Postgres: definitions, balances, and at last the epoch that lets calls in. */
@Injectable()
export class RedisRebuild {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ledger: LedgerRepository,
    private readonly balances: BalanceRepository,
    private readonly projector: AccountProjector,
    private readonly metrics: AccountingMetrics,
  ) {}

  /** Of several processes one does it; the others find the epoch set. @throws when a store fails; nothing is let in then */
  async run(): Promise<void> {
    const runner = this.source.createQueryRunner();
    try {
      await runner.query('SELECT pg_advisory_lock($1)', [LOCK]);
      try {
        if ((await this.redis.exists(redisKeys.epoch)) === 0) await this.rebuild(runner);
      } finally {
        await runner.query('SELECT pg_advisory_unlock($1)', [LOCK]);
      }
    } finally {
      await runner.release();
    }
  }

  private async rebuild(runner: QueryRunner): Promise<void> {
    const startedMs = performance.now();
    // What Redis still knows of calls is booked first; then the holds go, so that none can end while we count.
    await this.drained();
    await this.forgetHolds();
    await this.drained();
    const presumed = await this.presumeOpenHolds();
    const [ofKeys, ofCampaigns] = [await this.balances.usageOfAll(runner.manager, 'key_id'), await this.balances.usageOfAll(runner.manager, 'campaign_id')];
    let accounts = 0;
    const bring = async (rows: Account[]): Promise<void> => {
      accounts += rows.length;
      const pipeline = this.redis.pipeline();
      for (const row of rows) {
        const { spentNano, heldNano } = (row instanceof Key ? ofKeys : ofCampaigns).get(row.id) ?? UNUSED;
        const hash = row instanceof Key ? redisKeys.key(row.id) : redisKeys.campaign(row.id);
        pipeline.hset(hash, 'spent', spentNano.toString(), 'held', heldNano.toString(), 'running', 0);
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
      await this.projector.project(rows);
    };
    await this.projector.eachBatch(Campaign, bring);
    await this.projector.eachBatch(Key, bring);
    await this.setOperatorDay(runner);
    const [state] = await runner.query(
      `INSERT INTO access.state (name, value) VALUES ('epoch', 1) ON CONFLICT (name) DO UPDATE SET value = state.value + 1 RETURNING value`,
    );
    const epoch = (state as { value: number }).value;
    await this.redis.set(redisKeys.epoch, epoch);
    this.metrics.rebuilt();
    this.logger.info({ epoch, accounts, presumed, ms: Math.round(performance.now() - startedMs) }, 'Redis was rebuilt from the ledger');
  }

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

  /** Nobody will see the end of these calls: what they may have cost is booked, so that nothing is spent twice. */
  private async presumeOpenHolds(): Promise<number> {
    let presumed = 0;
    for (;;) {
      const holds = await this.ledger.openHolds(this.source.manager, HOLD_BATCH);
      const transfers = holds.map(presumption);
      await this.source.transaction((manager) => this.ledger.book(manager, transfers));
      this.metrics.booked(transfers);
      presumed += holds.length;
      if (holds.length < HOLD_BATCH) return presumed;
    }
  }

  private async setOperatorDay(runner: QueryRunner): Promise<void> {
    const [seconds] = (await this.redis.time()) as unknown as [string];
    const day = Math.floor((Number(seconds) * 1_000) / DAY_MS);
    const { spentNano, heldNano } = await this.balances.usageOfDay(runner.manager, day);
    const hash = `${redisKeys.operatorDayPrefix}${day}`;
    await this.redis.hset(hash, 'spent', spentNano.toString(), 'held', heldNano.toString());
    // As long as take-hold keeps it: calls of this day may end tomorrow.
    await this.redis.pexpire(hash, 2 * DAY_MS);
  }
}

function presumption({ requestId, keyId, campaignId, amountNano }: OpenHold) {
  const amount = amountNano.toString();
  const detail = JSON.stringify({ reason: 'redis lost' });
  return transferOf(
    { kind: 'presume', request: requestId, key: keyId, campaign: campaignId, amount, paid: amount, absorbed: '0', at_ms: Date.now(), detail },
    null,
  );
}
