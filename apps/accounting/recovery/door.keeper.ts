import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource, type QueryRunner } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { assertKeepsData } from '#libs/redis/connection.js';
import { Door } from '#libs/holds/door.js';
import { LEASE_MS } from '#libs/holds/hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { DoorSwitch } from '../accounts/door.switch.js';
import { AccountProjector } from '../accounts/account.projector.js';
import { LinkProjector } from '../accounts/link.projector.js';
import { ProjectionMetrics } from '../accounts/projection.metrics.js';
import { isBefore } from '../books/event.stream.js';
import { journalHead } from '../books/journal.stream.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { Periodic } from '../periodic.js';
import { RedisRebuild } from './redis.rebuild.js';

const EVERY_MS = 500;
const LOCK = 0x64_70_02;
/** Workers renew their leases every third of a lease, and notice then. */
const AFTER_LOSS_MS = LEASE_MS / 3 + 1_000;
/** A restart breaks every connection. Workers reconnect within two seconds, and claim their calls at once. */
const AFTER_RESTART_MS = 3_000;

/**
 * Opens the door once Redis agrees with the ledger. After a restart or a loss the door is closed. This class then
 * compares Redis with the ledger, and mends or rebuilds it. Before it opens the door, it gives workers time to claim
 * the calls that they run and to repeat the ends that they reported last.
 */
@Injectable()
export class DoorKeeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  /** The time that workers have for their claims, after a loss and after a mere restart. Tests give less. */
  readonly graceMs = { afterLoss: AFTER_LOSS_MS, afterRestart: AFTER_RESTART_MS };
  private readonly loop: Periodic;
  private readonly door: Door;
  private wasOpen = false;

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ledger: LedgerRepository,
    private readonly projector: AccountProjector,
    private readonly rebuild: RedisRebuild,
    private readonly metrics: ProjectionMetrics,
    private readonly links: LinkProjector,
    private readonly doorSwitch: DoorSwitch,
  ) {
    this.door = new Door(redis);
    this.loop = new Periodic(
      EVERY_MS,
      () => this.check(),
      (error) => logger.warn({ err: error }, 'accounting could not check or mend Redis; it tries again'),
    );
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
    // No call runs, so that the next start need not wait for claims.
    if (this.wasOpen && (await this.redis.zcard(redisKeys.leases).catch(() => 1)) === 0)
      await this.redis.set(redisKeys.quiet, '1').catch(() => undefined);
  }

  private async check(): Promise<void> {
    if (!(await this.door.isOpen())) await this.alone((runner) => this.vet(runner));
    else if (!this.wasOpen) {
      await this.redis.del(redisKeys.quiet);
      await this.doorSwitch.restore();
      await this.alone(() => this.rebuild.raiseAbsorbed());
    }
    this.wasOpen = true;
  }

  /** One process mends, and the others find the door open. @throws when a store fails; the door stays closed then */
  private async vet(runner: QueryRunner): Promise<void> {
    if (!(await this.door.isOpen())) await this.mend(runner);
  }

  /** One process at a time. */
  private async alone(work: (runner: QueryRunner) => Promise<void>): Promise<void> {
    const runner = this.source.createQueryRunner();
    try {
      await runner.query('SELECT pg_advisory_lock($1)', [LOCK]);
      try {
        await work(runner);
      } finally {
        await runner.query('SELECT pg_advisory_unlock($1)', [LOCK]);
      }
    } finally {
      await runner.release();
    }
  }

  private async mend(runner: QueryRunner): Promise<void> {
    const startedMs = performance.now();
    await assertKeepsData(this.redis);
    const [epoch, head, drained] = [
      await this.door.read(),
      await journalHead(this.redis),
      await this.ledger.drainedTo(),
    ];
    const lost = epoch === null || (drained !== null && isBefore(head, drained.journalId));
    const quiet =
      (await this.redis.getdel(redisKeys.quiet)) === '1' && (await this.redis.zcard(redisKeys.leases)) === 0;
    if (lost) {
      await this.door.close();
      await this.rebuild.run();
      this.metrics.rebuilt();
    }
    // An older Daypass did not store it.
    if (!lost && (await this.redis.exists(redisKeys.operatorTotal)) === 0) await this.rebuild.bringOperator();
    if (!lost) await this.rebuild.raiseAbsorbed();
    // Before the door opens: a shut door must not let calls in for a moment.
    await this.doorSwitch.restore();
    const number = await nextNumber(runner);
    await this.door.set('settling', number);
    const first = number === 1;
    const graceMs = first || (quiet && !lost) ? 0 : lost ? this.graceMs.afterLoss : this.graceMs.afterRestart;
    await Promise.all([sleep(graceMs), lost ? undefined : this.bringBack()]);
    await this.door.set('open', number);
    this.logger.info({ number, lost, ms: Math.round(performance.now() - startedMs) }, 'accounting opened the door');
  }

  /** What a restarted Redis forgot of its last second. */
  private async bringBack(): Promise<void> {
    await this.projector.findBehind();
    await this.links.projectAll();
  }
}

async function nextNumber(runner: QueryRunner): Promise<number> {
  const [state] = (await runner.query(
    `INSERT INTO access.state (name, value) VALUES ('epoch', 1) ON CONFLICT (name) DO UPDATE SET value = state.value + 1 RETURNING value`,
  )) as { value: number }[];
  return state!.value;
}
