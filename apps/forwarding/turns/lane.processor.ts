import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { Worker, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { laneQueue, turnJobSchema } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import { Forwarder } from '../attempt/forwarder.service.js';
import { LaneTurns } from './lane.turns.js';

/** A line that nobody serves has lost its turns: a job that failed for good, or went with a part of Redis. */
const LOOK_EVERY_MS = 3_000;
const FORGOTTEN_AT_ONCE = 32;

/**
 * One processor for each lane: decorators see the lane's name only when the class is made. A job is some turns; whose they are says
 * the lane's own order. A turn takes calls as long as some wait, so that those of a process that died are not missed.
 */
export function createLaneProcessor(lane: string, config: DaypassConfig): Type<DrainingWorker> {
  @Processor(laneQueue(lane), workerOptions(config.redisUrl, config.limits.concurrency, config.traces))
  class LaneProcessor extends DrainingWorker {
    private readonly turns: LaneTurns;
    private readonly running = new Set<Promise<unknown>>();
    private timer: NodeJS.Timeout | undefined;

    constructor(
      @Inject(Forwarder) private readonly forwarder: Forwarder,
      @Inject(LaneLine) private readonly line: LaneLine,
      @Inject(LOGGER) private readonly logger: Logger,
    ) {
      super(logger);
      this.turns = new LaneTurns(lane, line, forwarder);
    }

    override onApplicationBootstrap(): void {
      super.onApplicationBootstrap();
      this.timer = setInterval(() => void this.serveForgotten(), LOOK_EVERY_MS).unref();
    }

    override async beforeApplicationShutdown(): Promise<void> {
      clearInterval(this.timer);
      this.turns.stop();
      await super.beforeApplicationShutdown();
      await Promise.allSettled(this.running);
    }

    async process(job: Job): Promise<void> {
      const { turns } = turnJobSchema.parse(job.data);
      // Where as many run as may, those take what waits when they come to their ends.
      const room = Math.min(turns, config.limits.concurrency - this.running.size);
      const served = await Promise.allSettled(Array.from({ length: Math.max(0, room) }, () => this.serve()));
      for (const end of served) if (end.status === 'rejected') throw end.reason;
      if (served.every((end) => end.status === 'fulfilled' && end.value)) return;
      // The process ends: back to its place, for another.
      await this.worker.rateLimit(1);
      throw Worker.RateLimitError();
    }

    /** As long as some wait; false where the process ends first. */
    private async serve(): Promise<boolean> {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.running.add(promise);
      try {
        for (;;) {
          const begun = await this.turns.next();
          if (begun === null || begun === 'stopped') return begun === null;
          await this.forwarder.run(begun);
        }
      } finally {
        this.running.delete(promise);
        resolve();
      }
    }

    private async serveForgotten(): Promise<void> {
      const room = config.limits.concurrency - this.running.size;
      // Who waits for a turn takes it.
      if (room <= 0 || this.turns.isWaitedFor) return;
      try {
        const { waitingCalls } = await this.line.look(lane);
        await Promise.all(Array.from({ length: Math.min(waitingCalls, FORGOTTEN_AT_ONCE, room) }, () => this.serve()));
      } catch (error) {
        this.logger.warn({ err: error, lane }, 'a line could not be looked at');
      }
    }
  }
  return LaneProcessor;
}
