import { Inject, Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { refusalAtLane } from '#libs/contracts/queue-refusals.js';
import { CallEnder, type Cancelled } from '#libs/holds/call-ender.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { HoldState } from '#libs/holds/hold.types.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { insist } from '#libs/redis/insist.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { recovering } from '../refusals.js';
import type { CallOf } from '#libs/shelf/background.store.js';
import type { AdmittedCall } from '../domain/admitted-call.js';
import { Admission } from './admission.js';
import { CallQueues } from './call.queues.js';

/** A living worker ends the call at once. A dead one loses the call's lease within so many seconds. */
const CANCELS_MAX = 40;
const CANCEL_EVERY_MS = 1_000;
/** Longer than moderation has a call, which stands in no line meanwhile. */
const QUEUE_LOST_AFTER_MS = 10_000;
/** Longer than a minute: nobody pays for an unread answer only because Redis is away for so long. */
const ABANDON_PATIENCE_MS = 90_000;

/** `voided`: nobody sent the call, and it cost nothing. `lost`: nobody knows its outcome. */
type LostListener = (outcome: 'voided' | 'lost') => void;

/** Sends admitted calls to their first queue, and gives up calls that nobody waits for. */
@Injectable()
export class CallService {
  /** The calls that visitors wait for, and whom to call where Redis lost one. */
  private readonly waiting = new Map<string, { ticket: Ticket; onLost: LostListener }>();

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly holds: HoldStore,
    private readonly ender: CallEnder,
    private readonly queues: CallQueues,
    private readonly admission: Admission,
    leases: LeaseKeeper,
  ) {
    leases.whenReopened(() => void this.findLost());
  }

  /** Hands the call to its first queue. @throws DaypassError `recovering` or `queue_full` after it voided the hold */
  async enqueue({ ticket }: AdmittedCall, onLost: LostListener): Promise<void> {
    this.waiting.set(ticket.requestId, { ticket, onLost });
    try {
      const refusal = refusalAtLane(await this.queues.enqueue(ticket), ticket.patienceMs);
      if (refusal) throw refusal;
    } catch (error) {
      if (error instanceof DaypassError) {
        await this.giveUp(ticket, error.code).catch(() => undefined);
        throw error;
      }
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'ingress could not enqueue the call');
      // Where Redis does not take this either, the lease ends the hold.
      await this.giveUp(ticket, 'not enqueued').catch(() => undefined);
      throw recovering();
    }
  }

  /**
   * Voids a waiting call (`voided`). Leaves a dispatched one to its worker (`running`), which `abandon` asks to end it.
   * @throws while accounting mends Redis
   */
  async giveUp(ticket: CallOf, reason: string): Promise<Cancelled> {
    const cancelled = await this.ender.cancel(ticket, reason);
    if (cancelled === 'recovering') throw recovering();
    return cancelled;
  }

  /**
   * Gives up a call whose visitor left, again and again until it has ended. The upstream may refuse it just then, so
   * that it waits once more. And a worker that reconnects to Redis misses what ingress publishes.
   */
  async abandon(ticket: CallOf): Promise<void> {
    const { requestId } = ticket;
    try {
      for (let cancels = 0; cancels < CANCELS_MAX; cancels++) {
        if ((await insist(() => this.giveUp(ticket, 'visitor left'), ABANDON_PATIENCE_MS)) !== 'running') return;
        await insist(() => this.cancelUpstream(requestId), ABANDON_PATIENCE_MS);
        await sleep(CANCEL_EVERY_MS);
      }
      this.logger.warn({ requestId }, 'a call runs on after its visitor left');
    } catch (error) {
      // A waiting call loses its lease, which this process no longer renews. A running one costs money until its end.
      this.logger.warn({ err: error, requestId }, 'ingress could not give up a call whose visitor left');
    }
  }

  private async cancelUpstream(requestId: string): Promise<void> {
    await this.redis.publish(redisKeys.cancelChannel, requestId);
  }

  /**
   * Where Redis lost data, its queues may have lost calls, too. Nobody waits longer for a call that no worker claimed.
   */
  private async findLost(): Promise<void> {
    const unsure = await this.lookForLost([...this.waiting.keys()], ({ restored }) => restored);
    await sleep(QUEUE_LOST_AFTER_MS, undefined, { ref: false });
    await this.lookForLost(unsure, ({ isInLine }) => !isInLine);
  }

  /** Returns the calls that wait, and of which `isLost` does not say that their queue lost them. */
  private async lookForLost(requestIds: readonly string[], isLost: (hold: HoldState) => boolean): Promise<string[]> {
    const others: string[] = [];
    for (const requestId of requestIds) {
      const call = this.waiting.get(requestId);
      if (!call) continue;
      try {
        const hold = await this.holds.stateOf(requestId, call.ticket.lane);
        if (hold.state === null) call.onLost('lost');
        else if (hold.state === 'held' && !isLost(hold)) others.push(requestId);
        else if (hold.state === 'held' && (await this.giveUp(call.ticket, 'queue lost')) === 'voided')
          call.onLost('voided');
      } catch (error) {
        this.logger.warn({ err: error, requestId }, 'ingress could not look for a call; its deadline ends it');
      }
    }
    return others;
  }

  /** The call is over for its visitor. */
  release(ticket: Ticket): void {
    this.waiting.delete(ticket.requestId);
    this.admission.release(ticket);
  }
}
