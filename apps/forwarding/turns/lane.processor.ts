import { getQueueToken, Processor } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import type { Job, Queue } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { laneQueue, TURN_JOB, turnJobSchema, type TurnJob } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { Places } from '#libs/pacing/places.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { workerOptions } from '#libs/queues/bull.options.js';
import { DrainingWorker } from '#libs/queues/draining.worker.js';
import type { StartedCall } from '../attempt/attempt.js';
import { AttemptRunner } from '../attempt/attempt.runner.js';
import { LaneTurns } from './lane.turns.js';
import { TurnTaker } from './turn.taker.js';

/**
 * A line may have lost its turns, because a job failed for good or Redis lost it. So each process looks at its lines.
 */
const LOOK_EVERY_MS = 3_000;
const FORGOTTEN_AT_ONCE = 32;
/** A job lasts as long as its calls take to start. With one at a time, BullMQ asks for no job that is not there. */
const JOBS_AT_ONCE = 1;

/**
 * One processor for each lane: decorators see the lane's name only when the class is made. A job carries some turns,
 * and the lane's order says whose they are. A turn is over when its call has started. From then on the lease of the hold
 * says whether the call lives. A process whose places are taken takes no further job until a call ends.
 */
export function createLaneProcessor(lane: string, config: DaypassConfig): Type<DrainingWorker> {
  const places = new Places(config.limits.concurrency);
  @Processor(laneQueue(lane), workerOptions(config.redisUrl, JOBS_AT_ONCE, config.traces))
  class LaneProcessor extends DrainingWorker {
    private readonly turns: LaneTurns;
    private readonly running = new Set<Promise<unknown>>();
    private onRoom: (() => void) | undefined;
    private timer: NodeJS.Timeout | undefined;

    constructor(
      @Inject(TurnTaker) taker: TurnTaker,
      @Inject(AttemptRunner) private readonly attempts: AttemptRunner,
      @Inject(LaneLine) private readonly line: LaneLine,
      @Inject(getQueueToken(laneQueue(lane))) private readonly queue: Pick<Queue, 'add'>,
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
      this.onRoom?.();
      await super.beforeApplicationShutdown();
      await Promise.allSettled(this.running);
    }

    async process(job: Job): Promise<void> {
      const { turns } = turnJobSchema.parse(job.data);
      const free = Math.max(0, Math.min(turns, this.free));
      const taken = await Promise.allSettled(Array.from({ length: free }, () => this.take()));
      for (const outcome of taken) if (outcome.status === 'rejected') throw outcome.reason;
      const stopped = taken.filter((outcome) => outcome.status === 'fulfilled' && !outcome.value).length;
      await this.giveBack(turns - free + stopped);
      if (this.free <= 0 && stopped === 0) await new Promise<void>((resolve) => (this.onRoom = resolve));
    }

    private get free(): number {
      return places.size - this.running.size;
    }

    /** Turns that this process does not take are for another one. */
    private async giveBack(turns: number): Promise<void> {
      if (turns === 0) return;
      const job: TurnJob = { lane, turns };
      await this.queue.add(TURN_JOB, job);
    }

    /** Resolves when the turn's call has started, or when none waits. Returns false where the process ends first. */
    private async take(): Promise<boolean> {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.running.add(promise);
      const leave = (): void => {
        this.running.delete(promise);
        resolve();
        this.onRoom?.();
      };
      try {
        const call = await this.turns.next();
        if (call === null || call === 'stopped') {
          leave();
          return call === null;
        }
        void this.serve(call)
          .catch((error: unknown) => this.logger.error({ err: error, lane }, 'forwarding could not take the next turn'))
          .finally(leave);
        return true;
      } catch (error) {
        leave();
        throw error;
      }
    }

    /** Runs a call, and then others as long as some wait. */
    private async serve(first: StartedCall): Promise<void> {
      let call: StartedCall | null | 'stopped' = first;
      while (call !== null && call !== 'stopped') {
        const isInLineAgain: boolean = (await this.run(call)) !== 'ok';
        call = isInLineAgain || this.turns.mayHaveMore ? await this.turns.next() : null;
      }
      if (call === 'stopped') await this.giveBack(1);
    }

    private async run(call: StartedCall): Promise<string> {
      try {
        return await this.attempts.run(call);
      } catch (error) {
        const { requestId } = call.ticket;
        this.logger.error({ err: error, requestId, lane }, 'forwarding could not run a call; the sweeper ends it');
        return 'failed';
      } finally {
        places.release(call.ticket);
      }
    }

    private async serveForgotten(): Promise<void> {
      const { free } = this;
      // Where a turn is waited for already, nobody forgot the line.
      if (free <= 0 || this.turns.isWaitedFor) return;
      try {
        const { waitingCalls } = await this.line.look(lane);
        await Promise.all(Array.from({ length: Math.min(waitingCalls, FORGOTTEN_AT_ONCE, free) }, () => this.take()));
      } catch (error) {
        this.logger.warn({ err: error, lane }, 'forwarding could not look at a line');
      }
    }
  }
  return LaneProcessor;
}
