import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { UnrecoverableError, Worker, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { forwardingJobSchema, laneQueue } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import { Forwarder } from './forwarder.service.js';

/** One processor for each lane: decorators see the lane's name only when the class is made. */
export function createLaneProcessor(lane: string, config: DaypassConfig): Type<DrainingWorker> {
  @Processor(laneQueue(lane), workerOptions(config.redisUrl, config.limits.concurrency))
  class LaneProcessor extends DrainingWorker {
    constructor(
      @Inject(Forwarder) private readonly forwarder: Forwarder,
      @Inject(LOGGER) logger: Logger,
    ) {
      super(logger);
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
