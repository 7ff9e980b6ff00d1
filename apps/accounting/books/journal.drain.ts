import { hostname } from 'node:os';
import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { blockingConnection } from '#libs/redis/connection.js';
import { BooksMetrics } from './books.metrics.js';
import { JournalBooker } from './journal.booker.js';
import { journalStream } from './journal.stream.js';
import { StreamDrain } from './stream.drain.js';

@Injectable()
export class JournalDrain implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly drain: StreamDrain;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @Inject(LOGGER) logger: Logger,
    booker: JournalBooker,
    metrics: BooksMetrics,
  ) {
    const redis = blockingConnection(config.redisUrl);
    // The same name after a restart finds the entries that the last process left, at once.
    const stream = journalStream(redis, `accounting-${hostname()}`);
    this.drain = new StreamDrain(redis, stream, logger, {
      name: 'journal',
      book: (entries) => booker.book(entries),
      onBatch: (seconds) => metrics.batchDone(seconds),
      onLag: (entries) => metrics.journalLag(entries),
    });
  }

  onApplicationBootstrap(): void {
    this.drain.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.drain.stop();
  }
}
