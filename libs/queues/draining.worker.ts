import { WorkerHost } from '@nestjs/bullmq';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { Logger } from 'pino';
import { passOwnMarker } from './own.marker.js';
import { startAtOnce } from './prompt.start.js';

/** A worker that logs its errors, and finishes its jobs before the connection to Redis closes. */
export abstract class DrainingWorker extends WorkerHost implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(private readonly log: Logger) {
    super();
  }

  onApplicationBootstrap(): void {
    const { worker, log } = this;
    const queue = worker.name;
    startAtOnce(worker);
    passOwnMarker(worker, { sleeps: () => this.sleeps(), woken: () => this.woken() });
    worker.on('error', (error) => log.warn({ err: error, queue }, 'worker'));
    worker.on('failed', (job, error) =>
      log.error({ err: error, queue, jobId: job?.id, attempt: job?.attemptsMade }, 'job failed'),
    );
    worker.on('stalled', (jobId) => log.warn({ queue, jobId }, 'job stalled'));
    // A processor goes on after BullMQ lost its lock. The hold keeps it from sending a call twice.
    worker.on('lockRenewalFailed', (jobIds) => log.warn({ queue, jobIds }, 'job locks were not renewed'));
  }

  /** The worker found no job. */
  protected sleeps(): void {}

  /** A job came while the worker slept, and the worker is about to fetch it. */
  protected woken(): void {}

  async beforeApplicationShutdown(): Promise<void> {
    await this.worker.close();
  }
}
