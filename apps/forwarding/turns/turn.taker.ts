import { Inject, Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { endedMeanwhile, suspended } from '#libs/contracts/key-refusals.js';
import { largerThanLane, queueFull } from '#libs/contracts/queue-refusals.js';
import { readTicket } from '#libs/endpoints/ticket.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { LookAnswer, NextCall, StartAnswer, StartRequest } from '#libs/holds/hold.types.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { insist, mended } from '#libs/redis/insist.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import type { StartedCall } from '../attempt/attempt.js';
import { CallEnds } from '../attempt/call.ends.js';
import { CancelListener } from '../attempt/cancel.listener.js';
import { accountTrouble, unreachable } from '../domain/upstream-failure.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';

/**
 * `wait`: the lane has no room yet, or, `forImages`, only the model has none that draws for the lane's own. `over`:
 * forwarding sends nothing for the call any more.
 */
export type Taken =
  { state: 'started'; call: StartedCall } | { state: 'wait'; waitMs: number; forImages?: boolean } | { state: 'over' };

type StartedAnswer = Extract<StartAnswer, { code: 'started' }>;
type NotStarted = Exclude<StartAnswer, { code: 'started' | 'recovering' }>;

const OVER = { state: 'over' } as const;

/** Takes the turns of calls: records their dispatch where their lane has room. */
@Injectable()
export class TurnTaker {
  /** Tells this process' looks from others'. */
  private readonly process = randomUUID();
  private looks = 0;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly holds: HoldStore,
    private readonly lanes: LaneTable,
    private readonly cancels: CancelListener,
    private readonly ends: CallEnds,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** `next` serves the lane: all of its upstreams offer the same APIs. */
  beginsInOneStep(lane: string): boolean {
    return this.lanes.servesAlike(lane);
  }

  /**
   * Takes the turns of the first calls of a lane, at most `count`, in one step. `waiting`: how many calls wait still.
   * Asks again where an answer is lost, under the same number: otherwise recorded dispatches would be booked, and nobody
   * would send those calls.
   */
  async next(lane: string, count: number): Promise<{ taken: Promise<Taken>[]; waiting: number }> {
    const request = { lane, count, process: this.process, look: ++this.looks, upstreams: this.lanes.upstreamsOf(lane) };
    let isRepeat = false;
    const { calls, waiting } = await insist((): Promise<Exclude<LookAnswer, { code: 'recovering' }>> => {
      const answer = this.holds.next({ ...request, isRepeat }).then(mended);
      isRepeat = true;
      return answer;
    });
    return { taken: calls.map((call) => this.taken(call)), waiting };
  }

  private async taken({ requestId, ticket: written, encrypted, start }: NextCall): Promise<Taken> {
    // A visitor who left between the dispatch and now was heard, too.
    const controller = this.cancels.track(requestId);
    try {
      const ticket = ticketOf(written);
      if (ticket && start.code === 'started') {
        const body = encrypted === 'large' ? await this.body(requestId) : encrypted;
        return { state: 'started', call: this.startedCall(ticket, start, body, controller) };
      }
      this.cancels.forget(requestId, controller);
      if (ticket) return await this.notStarted(ticket, start as NotStarted);
      if (start.code === 'started' || start.code === 'unsent') {
        this.logger.error(
          { requestId },
          'forwarding has no ticket of a call that it dispatched, and gives its hold back',
        );
        await insist(() => this.holds.voidUnsent(requestId, start.attempt).then(mended));
      }
      return OVER;
    } catch (error) {
      this.cancels.forget(requestId, controller);
      throw error;
    }
  }

  /** `overtakes`: see `StartRequest`. */
  async start(ticket: Ticket, overtakes?: StartRequest['overtakes']): Promise<Taken> {
    const { requestId } = ticket;
    // Listen before the dispatch, so that a visitor who leaves right after it is not missed.
    const controller = this.cancels.track(requestId);
    try {
      const [start, encrypted] = await Promise.all([this.recordDispatch(ticket, overtakes), this.body(requestId)]);
      if (start.code === 'started')
        return { state: 'started', call: this.startedCall(ticket, start, encrypted, controller) };
      this.cancels.forget(requestId, controller);
      return await this.notStarted(ticket, start);
    } catch (error) {
      this.cancels.forget(requestId, controller);
      throw error;
    }
  }

  private startedCall(
    ticket: Ticket,
    start: StartedAnswer,
    encrypted: Buffer | null,
    controller: AbortController,
  ): StartedCall {
    const { attempt, upstream, failures, laneRequests: requests, laneTokens: tokens, nowMs } = start;
    const queueMs = Math.max(0, nowMs - ticket.acceptedMs);
    this.metrics.dispatched(ticket, queueMs / 1_000);
    const counted = { requests, tokens, atMs: nowMs };
    return { ticket, dispatched: { attempt, upstream }, failures, queueMs, encrypted, controller, counted };
  }

  private body(requestId: string): Promise<Buffer | null> {
    return insist(() => this.redis.getBuffer(redisKeys.body(requestId))).catch(() => null);
  }

  /**
   * Asks again where an answer is lost, or while accounting mends Redis. The nonce tells the script that it is the same
   * attempt. Without it a recorded dispatch would be booked, and nobody would send the call.
   */
  private recordDispatch(
    { requestId, keyId, campaignId, lane, pacedTokens, pacedUnits, endpoint }: Ticket,
    overtakes: StartRequest['overtakes'],
  ): Promise<StartedAnswer | NotStarted> {
    const call = {
      requestId,
      keyId,
      campaignId,
      lane,
      tokens: pacedTokens,
      units: pacedUnits,
      upstreams: this.lanes.upstreamsFor(lane, { endpoint }),
      nonce: randomUUID(),
      overtakes,
    };
    return insist(() => this.holds.start(call).then(mended));
  }

  private async notStarted(ticket: Ticket, start: NotStarted): Promise<Taken> {
    const { requestId, lane } = ticket;
    if (start.code === 'wait' && start.why !== 'account') {
      this.metrics.waited(lane);
      return { state: 'wait', waitMs: start.waitMs, forImages: start.why === 'images' };
    }
    if (start.code === 'ended')
      // Somebody voided the call, or another worker runs it. Nobody sends a dispatched call again.
      this.logger.info({ requestId, state: start.state }, 'forwarding does not send a call whose hold does not wait');
    else if (start.code === 'unsent')
      await this.ends.void({ ticket, dispatched: { attempt: start.attempt, upstream: '' } }, 'never sent', null);
    else await this.ends.refuse({ ticket }, refusalOf(start), 0);
    return OVER;
  }
}

/** null: Redis has no ticket any more, or a later version wrote it in another form. */
function ticketOf(written: string): Ticket | null {
  try {
    return written === '' ? null : readTicket(JSON.parse(written));
  } catch {
    return null;
  }
}

function refusalOf(start: Exclude<NotStarted, { code: 'ended' | 'unsent' }>): DaypassError {
  switch (start.code) {
    // The operator closed or suspended the key while the call waited.
    case 'invalid':
      return endedMeanwhile();
    case 'suspended':
      return suspended();
    case 'too_large':
      return largerThanLane();
    case 'wait':
    case 'late':
      if (start.why === 'account') return accountTrouble();
      return start.why === 'failing' ? unreachable() : queueFull(start.waitMs);
  }
}
