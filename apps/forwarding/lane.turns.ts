import { setTimeout as sleep } from 'node:timers/promises';
import type { Ticket } from '#libs/contracts/jobs.js';
import { insist } from '#libs/redis/insist.js';
import type { Begun, Forwarder } from './forwarder.service.js';

/** The lane is looked at again after this long at most: limits change, and somebody with an earlier turn may have come. */
const LOOK_AGAIN_MS = 1_000;

export interface LineHead {
  head(lane: string): Promise<Ticket | null>;
}

/** Hands out the turns of one lane in this process, one at a time, each to the call that stands first when it comes. */
export class LaneTurns {
  private last: Promise<unknown> = Promise.resolve();
  private readonly stopping = new AbortController();

  constructor(
    private readonly lane: string,
    private readonly line: LineHead,
    private readonly forwarder: Pick<Forwarder, 'begin'>,
  ) {}

  /** Resolves with a call that was begun; null where none waits. `stopped`: the process ends, and the turn is for another. */
  next(): Promise<Begun | null | 'stopped'> {
    const turn = this.last.then(() => this.take());
    this.last = turn.catch(() => undefined);
    return turn;
  }

  stop(): void {
    this.stopping.abort();
  }

  private async take(): Promise<Begun | null | 'stopped'> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // A turn that is given up because Redis was away would be missed.
      const ticket = await insist(() => this.line.head(this.lane));
      if (!ticket) return null;
      const begun = await this.forwarder.begin(ticket);
      if (begun.state === 'begun') return begun;
      // Refused or gone, it waits no more: the next one's turn has come.
      if (begun.state === 'wait') await sleep(Math.min(begun.waitMs, LOOK_AGAIN_MS), undefined, { signal }).catch(() => undefined);
    }
    return 'stopped';
  }
}
