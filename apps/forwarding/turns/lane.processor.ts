import { Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import { Worker, type Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { laneQueue, turnJobSchema } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { Places } from '#libs/pacing/places.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import { AttemptRunner } from '../attempt/attempt.runner.js';
import { LaneTurns } from './lane.turns.js';
import { TurnTaker } from './turn.taker.js';

/**
 * A line may have lost its turns, because a job failed for good or Redis lost it. So each process looks at its lines.
 */
const LOOK_EVERY_MS = 3_000;
const FORGOTTEN_AT_ONCE = 32;

/**
 * One processor for each lane: decorators see the lane's name only when the class is made. A job carries some turns,
 * and the lane's order says whose they are. A turn takes calls as long as some wait, also those that a dead process
 * left behind.
 */
export function createLaneProcessor(lane: string, config: DaypassConfig): Type<DrainingWorker> {
  const places = new Places(config.limits.concurrency);
  // One more job than places: it finds none free, and ends at once. So no job waits while a place is free.
  @Processor(laneQueue(lane), workerOptions(config.redisUrl, places.size + 1, config.traces))
  class LaneProcessor extends DrainingWorker {
    private readonly turns: LaneTurns;
    private readonly running = new Set<Promise<unknown>>();
    private timer: NodeJS.Timeout | undefined;

    constructor(
      @Inject(TurnTaker) taker: TurnTaker,
      @Inject(AttemptRunner) private readonly attempts: AttemptRunner,
      @Inject(LaneLine) private readonly line: LaneLine,
      @Inject(LOGGER) private readonly logger: Logger,
    ) {
      super(logger);
      this.turns = new LaneTurns(lane, line, taker, places);
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
      // Without a free place no turn starts here: whoever runs takes the next call when its own ends.
      const free = Math.min(turns, places.size - this.running.size);
      const served = await Promise.allSettled(Array.from({ length: Math.max(0, free) }, () => this.serve()));
      for (const outcome of served) if (outcome.status === 'rejected') throw outcome.reason;
      if (served.every((outcome) => outcome.status === 'fulfilled' && outcome.value)) return;
      // The process ends: the job goes back into its queue, for another process.
      await this.worker.rateLimit(1);
      throw Worker.RateLimitError();
    }

    /** Runs calls as long as some wait. Returns false where the process ends first. */
    private async serve(): Promise<boolean> {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.running.add(promise);
      try {
        for (;;) {
          const call = await this.turns.next();
          if (call === null || call === 'stopped') return call === null;
          try {
            await this.attempts.run(call);
          } finally {
            places.release(call.ticket);
          }
        }
      } finally {
        this.running.delete(promise);
        resolve();
      }
    }

    private async serveForgotten(): Promise<void> {
      const free = places.size - this.running.size;
      // Where a turn is waited for already, nobody forgot the line.
      if (free <= 0 || this.turns.isWaitedFor) return;
      try {
        const { waitingCalls } = await this.line.look(lane);
        await Promise.all(Array.from({ length: Math.min(waitingCalls, FORGOTTEN_AT_ONCE, free) }, () => this.serve()));
      } catch (error) {
        this.logger.warn({ err: error, lane }, 'forwarding could not look at a line');
      }
    }
  }
  return LaneProcessor;
}
