import { setTimeout as sleep } from 'node:timers/promises';
import type { Ticket } from '#libs/contracts/jobs.js';
import { insist } from '#libs/redis/insist.js';
import type { Begun, Forwarder } from '../attempt/forwarder.service.js';

/** The lane is looked at again after this long at most: limits change, and somebody with an earlier turn may have come. */
const LOOK_AGAIN_MS = 1_000;
const AT_ONCE_MAX = 64;

export interface Line {
  heads(lane: string, count: number): Promise<Ticket[]>;
}

type Turn = Begun | null | 'stopped';

/** Hands out the turns of one lane in this process, each to the call that stands first when it comes; many at once while the lane has room. */
export class LaneTurns {
  private readonly waiting: ((turn: Promise<Turn> | Turn) => void)[] = [];
  private readonly stopping = new AbortController();
  private giving = false;
  private atOnce = 1;

  constructor(
    private readonly lane: string,
    private readonly line: Line,
    private readonly forwarder: Pick<Forwarder, 'begin'>,
  ) {}

  /** Resolves with a call that was begun; null where none waits. `stopped`: the process ends, and the turn is for another. */
  next(): Promise<Turn> {
    const { promise, resolve } = Promise.withResolvers<Turn>();
    this.waiting.push(resolve);
    if (!this.giving) void this.give();
    return promise;
  }

  get isWaitedFor(): boolean {
    return this.waiting.length > 0;
  }

  stop(): void {
    this.stopping.abort();
  }

  private async give(): Promise<void> {
    this.giving = true;
    while (this.waiting.length > 0) {
      if (this.stopping.signal.aborted) this.waiting.shift()!('stopped');
      else await this.giveSome().catch((error: unknown) => this.waiting.shift()?.(Promise.reject(error as Error)));
    }
    this.giving = false;
  }

  private async giveSome(): Promise<void> {
    // A turn that is given up because Redis was away would be missed.
    const tickets = await insist(() => this.line.heads(this.lane, Math.min(this.atOnce, this.waiting.length)));
    if (tickets.length === 0) {
      for (const give of this.waiting.splice(0)) give(null);
      return;
    }
    // Sent in their order: the script lets nobody pass who is not first.
    const ends = await Promise.allSettled(tickets.map((ticket) => this.forwarder.begin(ticket)));
    let waitMs = Number.POSITIVE_INFINITY;
    for (const end of ends) {
      if (end.status === 'rejected') this.waiting.shift()?.(Promise.reject(end.reason as Error));
      else if (end.value.state === 'begun') this.waiting.shift()!(end.value);
      else if (end.value.state === 'wait') waitMs = Math.min(waitMs, end.value.waitMs);
    }
    // While all of them pass, the lane has room for more at once; where none does, it is closed, and nothing is learned.
    if (waitMs === Number.POSITIVE_INFINITY) this.atOnce = Math.min(2 * this.atOnce, AT_ONCE_MAX);
    else if (ends.some((end) => end.status === 'fulfilled' && end.value.state === 'begun'))
      this.atOnce = Math.max(1, Math.floor(this.atOnce / 2));
    if (waitMs !== Number.POSITIVE_INFINITY)
      await sleep(Math.min(waitMs, LOOK_AGAIN_MS), undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}
