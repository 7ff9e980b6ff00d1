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

type Take = 'started' | 'none' | 'stopped';

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
    /** The turn of a call that this process takes while it fetches the job of that turn. */
    private early: Promise<Take> | undefined;
    private comeSingly = true;

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
      this.comeSingly = turns === 1;
      const early = this.early;
      this.early = undefined;
      const free = Math.max(0, Math.min(turns - (early ? 1 : 0), this.free));
      const taken = await Promise.allSettled([
        ...(early ? [this.takenEarly(early)] : []),
        ...Array.from({ length: free }, () => this.take()),
      ]);
      for (const outcome of taken) if (outcome.status === 'rejected') throw outcome.reason;
      const stopped = taken.filter((outcome) => outcome.status === 'fulfilled' && outcome.value === 'stopped').length;
      await this.giveBack(turns - taken.length + stopped);
      if (this.free <= 0 && stopped === 0) await new Promise<void>((resolve) => (this.onRoom = resolve));
    }

    /**
     * The call of a turn is in its line before the job. So where calls come one at a time, a process that wakes for a
     * job takes the turn beside fetching the job.
     */
    protected override woken(): void {
      if (!this.comeSingly || this.free <= 0 || this.turns.isWaitedFor) return;
      this.early = this.take();
      // Whoever fetches the job takes the turn then.
      this.early.catch(() => undefined);
    }

    /** Another process fetched the job. Its turn finds no call. */
    protected override sleeps(): void {
      this.early = undefined;
    }

    /** The process may have woken for another job than it got: then the call came to the line after its look. */
    private async takenEarly(early: Promise<Take>): Promise<Take> {
      const take = await early.catch(() => 'none' as const);
      return take === 'none' && this.free > 0 ? this.take() : take;
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

    /** Resolves when the turn's call has started, or when none waits. `stopped`: the process ends first. */
    private async take(): Promise<Take> {
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
          return call ?? 'none';
        }
        void this.serve(call)
          .catch((error: unknown) => this.logger.error({ err: error, lane }, 'forwarding could not take the next turn'))
          .finally(leave);
        return 'started';
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
