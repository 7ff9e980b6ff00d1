import type { QueueOptions, WorkerOptions } from 'bullmq';
import { BullMQOtel } from 'bullmq-otel';
import { QUEUE_PREFIX } from '#libs/contracts/jobs.js';
import { queueConnectionOptions, workerConnectionOptions } from '#libs/redis/connection.js';

/**
 * What every queue and worker shares. Jobs hold ids and numbers only, and nothing is kept of a finished one: repeats are
 * told apart by the hold, not by the queue. A failed job is kept a day for whoever looks into it.
 */
export function bullOptions(redisUrl: string, traces = false): QueueOptions {
  return {
    connection: queueConnectionOptions(redisUrl),
    prefix: QUEUE_PREFIX,
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

/**
 * What every worker adds. `limiter` only makes `rateLimit()` work, which puts a job back to its place while a lane is full;
 * its own count never binds, because it counts jobs in fixed windows and not tokens.
 */
export function workerOptions(redisUrl: string, concurrency: number, traces = false): WorkerOptions {
  return {
    connection: workerConnectionOptions(redisUrl),
    prefix: QUEUE_PREFIX,
    ...telemetry(traces),
    concurrency,
    limiter: { max: 1_000_000_000, duration: 1_000 },
    // A dead worker's jobs are taken over well within a call's patience; taking one over too early is harmless, the hold decides.
    lockDuration: 10_000,
    stalledInterval: 4_000,
    maxStalledCount: 3,
  };
}

/** BullMQ's own spans. A job carries the calls of one tick, so it stands in the trace of the first of them. */
function telemetry(traces: boolean): Pick<QueueOptions, 'telemetry'> {
  return traces ? { telemetry: new BullMQOtel({ tracerName: 'daypass-queues' }) } : {};
}
