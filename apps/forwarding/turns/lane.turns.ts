import { setTimeout as sleep } from 'node:timers/promises';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Crowd, Places } from '#libs/pacing/places.js';
import { insist } from '#libs/redis/insist.js';
import type { StartedCall } from '../attempt/attempt.js';
import type { Taken, TurnTaker } from './turn.taker.js';

/** The longest pause before the next try: limits change, and a call with an earlier turn may come. */
const LOOK_AGAIN_MS = 1_000;
const AT_ONCE_MAX = 64;

export interface Line {
  heads(lane: string, count: number, crowd: Crowd): Promise<Ticket[]>;
}

type Turn = StartedCall | null | 'stopped';

/**
 * Hands out the turns of one lane in this process: many at once while the lane has room. Each goes to the first call of
 * the line that gets a place. The others keep their turns for other processes, or until a call ends here.
 */
export class LaneTurns {
  private readonly waiting: ((turn: Promise<Turn> | Turn) => void)[] = [];
  private readonly stopping = new AbortController();
  private giving = false;
  private atOnce = 1;

  constructor(
    private readonly lane: string,
    private readonly line: Line,
    private readonly taker: Pick<TurnTaker, 'start'>,
    /** A started call has taken one. Whoever runs the call releases it. */
    private readonly places: Places,
  ) {}

  /**
   * Resolves with a started call; null where none waits that gets a place. `stopped`: the process ends, and another
   * takes the turn.
   */
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
    // Redis may be away for a while: a turn that gave up then would be missed later.
    const crowd = this.places.crowd();
    const tickets = await insist(() => this.line.heads(this.lane, Math.min(this.atOnce, this.waiting.length), crowd));
    const placed = tickets.filter((ticket) => this.places.take(ticket));
    if (placed.length === 0) {
      for (const give of this.waiting.splice(0)) give(null);
      return;
    }
    const isCrowded = crowd.campaigns.length + crowd.keys.length > 0 || placed.length < tickets.length;
    // The order matters: the script starts only the first call of the line.
    const outcomes = await Promise.allSettled(
      placed.map((ticket, index) =>
        this.start(ticket, isCrowded ? { behind: placed[index - 1]?.requestId ?? null } : undefined),
      ),
    );
    let waitMs = Number.POSITIVE_INFINITY;
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') this.waiting.shift()?.(Promise.reject(outcome.reason as Error));
      else if (outcome.value.state === 'started') this.waiting.shift()!(outcome.value.call);
      else if (outcome.value.state === 'wait') waitMs = Math.min(waitMs, outcome.value.waitMs);
    }
    // Where all of them start, the lane has room for more at once. Where none starts, the lane is closed for now.
    if (waitMs === Number.POSITIVE_INFINITY) this.atOnce = Math.min(2 * this.atOnce, AT_ONCE_MAX);
    else if (outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value.state === 'started'))
      this.atOnce = Math.max(1, Math.floor(this.atOnce / 2));
    if (waitMs !== Number.POSITIVE_INFINITY)
      await sleep(Math.min(waitMs, LOOK_AGAIN_MS), undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  private async start(ticket: Ticket, overtakes: { behind: string | null } | undefined): Promise<Taken> {
    let taken: Taken | undefined;
    try {
      return (taken = await this.taker.start(ticket, overtakes));
    } finally {
      if (taken?.state !== 'started') this.places.release(ticket);
    }
  }
}
