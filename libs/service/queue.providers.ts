import { BullModule, getQueueToken } from '@nestjs/bullmq';
import type { DynamicModule } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Queue } from 'bullmq';
import type { Logger } from './logger.js';
import { LOGGER, MONEY_REDIS } from './platform.tokens.js';

/** Queues on the money connection, so that a job arrives after what was sent before it. */
export function queuesOf(names: readonly string[]): DynamicModule {
  return BullModule.registerQueueAsync(
    ...names.map((name) => ({ name, inject: [MONEY_REDIS], useFactory: (redis: Redis) => ({ connection: redis }) })),
  );
}

/**
 * Logs the errors of these queues. Without a listener BullMQ prints them itself. A queue whose first look at Redis
 * failed refuses every job for ever (BullMQ 6 keeps that error). So the service does not start with one, and is started
 * again.
 */
export function queueErrors(names: readonly string[]) {
  return {
    provide: Symbol('queue errors'),
    inject: [LOGGER, ...names.map((name) => getQueueToken(name))],
    useFactory: async (logger: Logger, ...queues: Queue[]): Promise<void> => {
      for (const queue of queues) queue.on('error', (error) => logger.warn({ err: error, queue: queue.name }, 'queue'));
      await Promise.all(queues.map((queue) => queue.waitUntilReady()));
    },
  };
}
