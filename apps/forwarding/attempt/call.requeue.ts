import { Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { DeferRequest } from '#libs/holds/hold.types.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { insist, mended } from '#libs/redis/insist.js';
import { backoffMs } from '../domain/upstream-failure.js';
import type { StartedCall } from './attempt.js';
import { CallEnds } from './call.ends.js';

/** How often forwarding sends a call at most, where upstreams fail before they do any work. */
const ATTEMPTS_MAX = 3;
/** How often at most, and after which first pause, where an upstream asks this call alone to wait. */
const PAUSED_ATTEMPTS_MAX = 4;
const PAUSE_MS = 1_000;

/** `ended`: forwarding ends the call. `visitor_left`: the visitor left meanwhile, so that Daypass voids the call. */
export type Requeued = 'queued' | 'ended' | 'visitor_left';

/** Puts a call back into the line of its lane, after the upstream refused it without doing work. */
@Injectable()
export class CallRequeue {
  constructor(
    private readonly holds: HoldStore,
    private readonly lanes: LaneTable,
    private readonly ends: CallEnds,
  ) {}

  /** Puts the call back, and freezes this upstream in the lane for so long: all calls share the limit. */
  async freeze(call: StartedCall, freezeMs: number): Promise<Requeued> {
    return (await this.defer(call, { freezeMs })) ? this.unlessLeft(call) : 'ended';
  }

  /** Puts the call back for another attempt, where one is left. Another upstream with room goes first. */
  retry(call: StartedCall): Promise<Requeued> {
    const { attempt } = call.dispatched;
    return this.pause(call, backoffMs(attempt, Math.random()), ATTEMPTS_MAX);
  }

  /** Puts the call back, where the upstream asks it to wait, and says nothing about other calls. */
  later(call: StartedCall): Promise<Requeued> {
    return this.pause(call, PAUSE_MS * 2 ** (call.dispatched.attempt - 1), PAUSED_ATTEMPTS_MAX);
  }

  /**
   * Only this call waits, outside of the line: whoever sends what always fails must not stop the others. The hold is
   * held meanwhile, so that it goes back where this process dies. `ended` where no attempt is left, or no time.
   */
  private async pause(call: StartedCall, pauseMs: number, attemptsMax: number): Promise<Requeued> {
    const { ticket, dispatched, controller } = call;
    const inTime = Date.now() + pauseMs < ticket.acceptedMs + ticket.patienceMs;
    if (dispatched.attempt >= attemptsMax || !inTime) return 'ended';
    const avoided = dispatched.upstream;
    if (!(await this.defer(call, { freezeMs: 0, joins: false, avoided }))) return 'ended';
    await sleep(pauseMs, undefined, { signal: controller.signal }).catch(() => undefined);
    const left = await this.unlessLeft(call);
    if (left !== 'queued') return left;
    return (await this.defer(call, { freezeMs: 0, avoided })) ? this.unlessLeft(call) : 'ended';
  }

  private defer(
    { ticket: { requestId, lane, pacedTokens: tokens }, dispatched: { attempt, upstream } }: StartedCall,
    how: Pick<DeferRequest, 'freezeMs' | 'joins' | 'avoided'>,
  ): Promise<boolean> {
    const { slot } = this.lanes.upstreamOf(lane, upstream);
    return insist(() => this.holds.defer({ requestId, lane, slot, attempt, tokens, ...how }).then(mended));
  }

  private async unlessLeft(call: StartedCall): Promise<Requeued> {
    if (!call.controller.signal.aborted) return 'queued';
    await this.ends.void(call, 'visitor left', null);
    return 'visitor_left';
  }
}
