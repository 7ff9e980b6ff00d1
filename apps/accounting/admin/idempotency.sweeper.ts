import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { IdempotencyStore } from './idempotency.store.js';

const EVERY_MS = 60_000;

/** First answers may hold virtual keys, so that accounting deletes them when they expire. */
@Injectable()
export class IdempotencySweeper extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(@Inject(LOGGER) logger: Logger, store: IdempotencyStore) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      async () => void (await store.sweep()),
      (error) => logger.warn({ err: error }, 'accounting could not delete expired answers'),
    );
  }
}
