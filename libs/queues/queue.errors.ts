import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';

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
