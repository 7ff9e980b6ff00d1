import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { UnrecoverableError, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { INQUIRY_QUEUE, inquiryJobSchema } from '#libs/contracts/jobs.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { InquiryDesk } from './inquiry.desk.js';

/** A job has ids and numbers only. Those that one process has wait there, so that their keys take turns. */
const JOBS_MAX = 256;

/** The worker's options come out of the configuration, which decorators see only when the class is made. */
export function createInquiryProcessor(config: DaypassConfig): Type<DrainingWorker> {
  @Processor(INQUIRY_QUEUE, workerOptions(config.redisUrl, JOBS_MAX, config.traces))
  class InquiryProcessor extends DrainingWorker {
    constructor(
      @Inject(InquiryDesk) private readonly desk: InquiryDesk,
      @Inject(LOGGER) logger: Logger,
    ) {
      super(logger);
    }

    async process(job: Job): Promise<void> {
      const parsed = inquiryJobSchema.safeParse(job.data);
      if (!parsed.success) throw new UnrecoverableError(`not an inquiry: ${parsed.error.message}`);
      await this.desk.serve(parsed.data);
    }
  }
  return InquiryProcessor;
}
