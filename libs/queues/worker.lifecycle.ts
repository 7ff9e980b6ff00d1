import type { Worker } from 'bullmq';
import type { Logger } from '#libs/observability/logger.js';

/** What every worker says about itself. Losing a lock does not stop a processor in BullMQ: the hold keeps it from sending twice. */
export function watchWorker(worker: Worker, logger: Logger): void {
  worker.on('error', (error) => logger.warn({ err: error, queue: worker.name }, 'worker'));
  worker.on('failed', (job, error) => logger.error({ err: error, queue: worker.name, jobId: job?.id, attempt: job?.attemptsMade }, 'job failed'));
  worker.on('stalled', (jobId) => logger.warn({ queue: worker.name, jobId }, 'job stalled'));
  worker.on('lockRenewalFailed', (jobIds) => logger.warn({ queue: worker.name, jobIds }, 'job locks were not renewed'));
}
