import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { Worker } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { laneQueue } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/observability/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import { Forwarder } from './forwarder.service.js';
import { LaneTurns } from './lane.turns.js';

/**
 * One processor for each lane: decorators see the lane's name only when the class is made. A job is a turn; whose it is says
 * the lane's own order. A turn takes calls as long as some wait, so that those of a process that died are not missed.
 */
export function createLaneProcessor(lane: string, config: DaypassConfig): Type<DrainingWorker> {
  @Processor(laneQueue(lane), workerOptions(config.redisUrl, config.limits.concurrency))
  class LaneProcessor extends DrainingWorker {
    private readonly turns: LaneTurns;

    constructor(
      @Inject(Forwarder) private readonly forwarder: Forwarder,
      @Inject(LaneLine) line: LaneLine,
      @Inject(LOGGER) logger: Logger,
    ) {
      super(logger);
      this.turns = new LaneTurns(lane, line, forwarder);
    }

    override async beforeApplicationShutdown(): Promise<void> {
      this.turns.stop();
      await super.beforeApplicationShutdown();
    }

    async process(): Promise<void> {
      for (;;) {
        const begun = await this.turns.next();
        if (begun === null) return;
        if (begun === 'stopped') {
          // Back to its place, for another process.
          await this.worker.rateLimit(1);
          throw Worker.RateLimitError();
        }
        await this.forwarder.run(begun);
      }
    }
  }
  return LaneProcessor;
}
