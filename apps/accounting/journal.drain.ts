import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/observability/logger.js';
import { CONFIG, LOGGER } from '#libs/platform/platform.tokens.js';
import { blockingConnection } from '#libs/redis/connection.js';
import { AccountingMetrics } from './accounting.metrics.js';
import { JournalBooker } from './journal.booker.js';
import { JournalStream, type JournalEntry } from './journal.stream.js';

const CLAIM_EVERY_MS = 10_000;
const BACKOFF_MAX_MS = 5_000;
const STOP_PATIENCE_MS = 5_000;

/**
 * Moves the journal into the ledger: read → one transaction → commit → acknowledge → trim. Several processes may drain
 * at once, and any of them may die at any point: an entry that was not acknowledged is read and booked again, which
 * changes nothing.
 */
@Injectable()
export class JournalDrain implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private readonly stream: JournalStream;
  private running: Promise<void> | undefined;
  private claimedAtMs = 0;
  private unreadOwn = true;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly booker: JournalBooker,
    private readonly metrics: AccountingMetrics,
  ) {
    const redis = blockingConnection(config.redisUrl);
    redis.on('error', (error) => logger.warn({ err: error }, 'journal connection'));
    // An answer that was lost with the connection is pending under our name, and nobody else reads it soon.
    redis.on('ready', () => (this.unreadOwn = true));
    // The same name after a restart, so that what the last process left is found at once.
    this.stream = new JournalStream(redis, `accounting-${hostname()}`);
  }

  onApplicationBootstrap(): void {
    this.running ??= this.run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    // A batch under way is finished; a Redis that is away, for which reads wait without end, must not hold up the shutdown.
    const patience = new AbortController();
    await Promise.race([this.running, sleep(STOP_PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => undefined)]);
    patience.abort();
    this.stream.close();
  }

  private async run(): Promise<void> {
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      try {
        await this.step();
        failures = 0;
      } catch (error) {
        failures++;
        this.unreadOwn = true;
        // Told above all while it grows.
        await this.stream.length().then(
          (entries) => this.metrics.journalLag(entries),
          () => undefined,
        );
        this.logger.warn({ err: error, failures }, 'the journal waits: its last batch could not be booked');
        await sleep(Math.min(50 * 2 ** Math.min(failures, 10), BACKOFF_MAX_MS), undefined, { signal: this.stopping.signal }).catch(() => undefined);
      }
    }
  }

  private async step(): Promise<void> {
    const entries = await this.read();
    if (entries.length > 0) {
      const startedMs = performance.now();
      await this.booker.book(entries);
      await this.stream.acknowledge(entries.map(({ id }) => id));
      this.metrics.batchDone((performance.now() - startedMs) / 1_000);
    }
    this.metrics.journalLag(await this.stream.length());
  }

  /** First what was read before and never acknowledged, by us or by a process that died; then what is new. */
  private async read(): Promise<JournalEntry[]> {
    if (this.unreadOwn) {
      await this.stream.createGroup();
      const own = await this.stream.readOwn();
      if (own.length > 0) return own;
      this.unreadOwn = false;
    }
    if (Date.now() - this.claimedAtMs > CLAIM_EVERY_MS) {
      const claimed = await this.stream.claimAbandoned();
      if (claimed.length > 0) return claimed;
      this.claimedAtMs = Date.now();
    }
    return this.stream.readNew();
  }
}
