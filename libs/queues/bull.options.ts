import type { QueueOptions, WorkerOptions } from 'bullmq';
import { BullMQOtel } from 'bullmq-otel';
import { queueConnectionOptions, workerConnectionOptions } from '#libs/redis/connection.js';
import { redisKeys } from '#libs/redis/keys.js';

/**
 * What every queue and worker shares. Jobs hold ids and numbers only. A finished job leaves nothing: the hold, not the
 * queue, recognizes a repeat. A failed job stays for a day, so that a person can read it.
 */
export function bullOptions(redisUrl: string, traces = false): QueueOptions {
  return {
    connection: queueConnectionOptions(redisUrl),
    prefix: redisKeys.queuePrefix,
    ...telemetry(traces),
    streams: { events: { maxLen: 100 } },
    defaultJobOptions: {
      attempts: 3,
      backoff: { type: 'exponential', delay: 250, jitter: 0.5 },
      removeOnComplete: true,
      removeOnFail: { age: 86_400, count: 1_000 },
    },
  };
}

export function workerOptions(redisUrl: string, concurrency: number, traces = false): WorkerOptions {
  return {
    connection: workerConnectionOptions(redisUrl),
    prefix: redisKeys.queuePrefix,
    ...telemetry(traces),
    concurrency,
    // Another worker takes over a dead worker's jobs well before a visitor gives up. Too early is harmless: the hold
    // decides.
    lockDuration: 10_000,
    stalledInterval: 4_000,
    maxStalledCount: 3,
  };
}

/** BullMQ's own spans. A job carries the calls of one tick, so that it lies in the trace of the first one. */
function telemetry(traces: boolean): Pick<QueueOptions, 'telemetry'> {
  return traces ? { telemetry: new BullMQOtel({ tracerName: 'daypass-queues' }) } : {};
}
