import { Injectable } from '@nestjs/common';
import { HoldStore } from '#libs/holds/hold.store.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { insist, mended } from '#libs/redis/insist.js';
import { backoffMs } from '../domain/upstream-failure.js';
import type { StartedCall } from './attempt.js';
import { CallEnds } from './call.ends.js';

/** How often forwarding sends a call at most, where upstreams fail before they do any work. */
const ATTEMPTS_MAX = 3;

/** Puts a call back into the line of its lane, after the upstream refused it without doing work. */
@Injectable()
export class CallRequeue {
  constructor(
    private readonly holds: HoldStore,
    private readonly lanes: LaneTable,
    private readonly ends: CallEnds,
  ) {}

  /**
   * Puts the call back, and freezes this upstream in the lane for the pause. `ended`: somebody ended the call
   * meanwhile. `visitor_left`: the visitor left meanwhile, so that Daypass voids the call.
   */
  async put(call: StartedCall, pauseMs: number): Promise<'queued' | 'ended' | 'visitor_left'> {
    const { ticket, dispatched, controller } = call;
    const { slot } = this.lanes.upstreamOf(ticket.lane, dispatched.upstream);
    const attempt = { requestId: ticket.requestId, lane: ticket.lane, slot, attempt: dispatched.attempt };
    if (!(await insist(() => this.holds.defer({ ...attempt, freezeMs: pauseMs }).then(mended)))) return 'ended';
    if (!controller.signal.aborted) return 'queued';
    await this.ends.void(call, 'visitor left', null);
    return 'visitor_left';
  }

  /**
   * Puts the call back for another attempt. `ended` also where none is left, or the visitor does not wait that long.
   */
  async retry(call: StartedCall): Promise<'queued' | 'ended' | 'visitor_left'> {
    const { ticket, dispatched } = call;
    const pauseMs = backoffMs(dispatched.attempt, Math.random());
    const inTime = Date.now() + pauseMs < ticket.acceptedMs + ticket.patienceMs;
    return dispatched.attempt < ATTEMPTS_MAX && inTime ? this.put(call, pauseMs) : 'ended';
  }
}
