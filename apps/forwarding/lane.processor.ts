import { Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject, type BeforeApplicationShutdown, type OnApplicationBootstrap, type Type } from '@nestjs/common';
import { UnrecoverableError, Worker, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { forwardingJobSchema, laneQueue } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { watchWorker } from '#libs/queues/worker.lifecycle.js';
import { Forwarder } from './forwarder.service.js';

/** One processor for each lane: decorators see the lane's name only when the class is made. */
export function createLaneProcessor(lane: string, config: DaypassConfig): Type<WorkerHost> {
  @Processor(laneQueue(lane), workerOptions(config.redisUrl, config.limits.concurrency))
  class LaneProcessor extends WorkerHost implements OnApplicationBootstrap, BeforeApplicationShutdown {
    constructor(
      @Inject(Forwarder) private readonly forwarder: Forwarder,
      @Inject(LOGGER) private readonly logger: Logger,
    ) {
      super();
    }

    onApplicationBootstrap(): void {
      watchWorker(this.worker, this.logger);
    }

    /** Running calls end while Redis is still connected. */
    async beforeApplicationShutdown(): Promise<void> {
      await this.worker.close();
    }

    async process(job: Job): Promise<void> {
      const ticket = forwardingJobSchema.safeParse(job.data);
      if (!ticket.success) throw new UnrecoverableError(`not a forwarding job: ${ticket.error.message}`);
      const next = await this.forwarder.forward(ticket.data);
      if (next.done) return;
      await this.worker.rateLimit(next.waitMs);
      throw Worker.RateLimitError();
    }
  }
  return LaneProcessor;
}
