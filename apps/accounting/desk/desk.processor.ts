import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { UnrecoverableError, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { DESK_QUEUE, deskJobSchema, ERRANDS_QUEUE } from '#libs/contracts/claims.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { Desk } from './desk.js';

/** Fewer than the pool of Postgres has connections, so that the books go on while visitors claim. */
const CONCURRENCY = { [DESK_QUEUE]: 8, [ERRANDS_QUEUE]: 4 };

/** The worker's options come out of the configuration, which decorators see only when the class is made. */
export function createDeskProcessor(config: DaypassConfig, queue: keyof typeof CONCURRENCY): Type<DrainingWorker> {
  @Processor(queue, workerOptions(config.redisUrl, CONCURRENCY[queue], config.traces))
  class DeskProcessor extends DrainingWorker {
    constructor(
      @Inject(Desk) private readonly desk: Desk,
      @Inject(LOGGER) logger: Logger,
    ) {
      super(logger);
    }

    async process(job: Job): Promise<void> {
      const parsed = deskJobSchema.safeParse(job.data);
      if (!parsed.success) throw new UnrecoverableError(`not a job for the desk: ${parsed.error.message}`);
      await this.desk.serve(parsed.data);
    }
  }
  return DeskProcessor;
}
