import { BullModule, getQueueToken } from '@nestjs/bullmq';
import type { DynamicModule } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Queue } from 'bullmq';
import type { Logger } from './logger.js';
import { LOGGER, MONEY_REDIS } from './platform.tokens.js';

/**
 * Queues that jobs are added to over the money connection: what is added comes behind what was sent before it.
 */
export function queuesOf(names: readonly string[]): DynamicModule {
  return BullModule.registerQueueAsync(
    ...names.map((name) => ({ name, inject: [MONEY_REDIS], useFactory: (redis: Redis) => ({ connection: redis }) })),
  );
}

/** Puts the errors of these queues into the log; where nobody listens, BullMQ prints them by itself. */
export function queueErrors(names: readonly string[]) {
  return {
    provide: Symbol('queue errors'),
    inject: [LOGGER, ...names.map((name) => getQueueToken(name))],
    useFactory: (logger: Logger, ...queues: Queue[]): void => {
      for (const queue of queues) queue.on('error', (error) => logger.warn({ err: error, queue: queue.name }, 'queue'));
    },
  };
}
