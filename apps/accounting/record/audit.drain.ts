import { hostname } from 'node:os';
import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { blockingConnection } from '#libs/redis/connection.js';
import { RecordMetrics } from './record.metrics.js';
import { StreamDrain } from '../books/stream.drain.js';
import { AuditBooker } from './audit.booker.js';
import { auditStream } from './audit.stream.js';

/** Moves the record's stream into Postgres. */
@Injectable()
export class AuditDrain implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly drain: StreamDrain;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @Inject(LOGGER) logger: Logger,
    booker: AuditBooker,
    metrics: RecordMetrics,
  ) {
    const redis = blockingConnection(config.redisUrl);
    this.drain = new StreamDrain(redis, auditStream(redis, `accounting-${hostname()}`), logger, {
      name: 'record',
      book: (entries) => booker.book(entries),
      onBatch: () => undefined,
      onLag: (entries) => metrics.recordLag(entries),
    });
  }

  onApplicationBootstrap(): void {
    this.drain.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.drain.stop();
  }
}
