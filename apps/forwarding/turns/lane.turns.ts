import { setTimeout as sleep } from 'node:timers/promises';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Crowd, Places } from '#libs/pacing/places.js';
import { insist } from '#libs/redis/insist.js';
import type { StartedCall } from '../attempt/attempt.js';
import type { Taken, TurnTaker } from './turn.taker.js';

/** The longest pause before the next try: limits change, and a call with an earlier turn may come. */
const LOOK_AGAIN_MS = 1_000;
/** Bounds how long one script may occupy Redis. */
const AT_ONCE_MAX = 32;

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
  private mayWait = true;
  /** Until then this process passes over calls that have another model draw: one of them waits for images. */
  private drawnOutUntilMs = 0;

  constructor(
    private readonly lane: string,
    private readonly line: Line,
    private readonly taker: Pick<TurnTaker, 'start' | 'next' | 'beginsInOneStep'>,
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

  /** Calls may wait that nobody brings a turn for: some did when this process last looked. */
  get mayHaveMore(): boolean {
    return this.mayWait;
  }

  stop(): void {
    this.stopping.abort();
  }

  private async give(): Promise<void> {
    this.giving = true;
    // The turns of one job come together.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      if (this.stopping.signal.aborted) this.waiting.shift()!('stopped');
      else await this.giveSome().catch((error: unknown) => this.waiting.shift()?.(Promise.reject(error as Error)));
    }
    this.giving = false;
  }

  private async giveSome(): Promise<void> {
    const count = Math.min(this.atOnce, this.waiting.length);
    const sure = this.taker.beginsInOneStep(this.lane) ? this.places.sureOf(count) : 0;
    const outcomes = await (sure > 0 ? this.begin(sure) : this.beginPlaced(count));
    if (outcomes.length === 0) {
      for (const give of this.waiting.splice(0)) give(null);
      return;
    }
    let waitMs = Number.POSITIVE_INFINITY;
    let forImagesMs = 0;
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') this.waiting.shift()?.(Promise.reject(outcome.reason as Error));
      else if (outcome.value.state === 'started') this.waiting.shift()!(outcome.value.call);
      else if (outcome.value.state !== 'wait') continue;
      else if (outcome.value.forImages) forImagesMs = Math.min(outcome.value.waitMs, LOOK_AGAIN_MS);
      else waitMs = Math.min(waitMs, outcome.value.waitMs);
    }
    if (forImagesMs > 0) this.drawnOutUntilMs = performance.now() + forImagesMs;
    // Where all of them start, the lane has room for more at once. Where none starts, the lane is closed for now.
    if (waitMs === Number.POSITIVE_INFINITY) this.atOnce = Math.min(2 * this.atOnce, AT_ONCE_MAX);
    else if (outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value.state === 'started'))
      this.atOnce = Math.max(1, Math.floor(this.atOnce / 2));
    if (waitMs !== Number.POSITIVE_INFINITY)
      await sleep(Math.min(waitMs, LOOK_AGAIN_MS), undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  /** In one step, where each of so many calls gets a place. */
  private async begin(count: number): Promise<PromiseSettledResult<Taken>[]> {
    const { taken, waiting } = await this.taker.next(this.lane, count);
    this.mayWait = waiting > 0;
    const outcomes = await Promise.allSettled(taken);
    for (const outcome of outcomes)
      if (outcome.status === 'fulfilled' && outcome.value.state === 'started')
        this.places.occupy(outcome.value.call.ticket);
    return outcomes;
  }

  /** One by one, where some get no place now, or where upstreams offer different APIs. */
  private async beginPlaced(count: number): Promise<PromiseSettledResult<Taken>[]> {
    this.mayWait = true;
    const drawing = performance.now() < this.drawnOutUntilMs;
    const crowd: Crowd = { ...this.places.crowd(), ...(drawing ? { drawing } : {}) };
    // Redis may be away for a while: a turn that gave up then would be missed later.
    const tickets = await insist(() => this.line.heads(this.lane, count, crowd));
    const placed = tickets.filter((ticket) => this.places.take(ticket));
    const isCrowded = drawing || crowd.campaigns.length + crowd.keys.length > 0 || placed.length < tickets.length;
    this.mayWait = isCrowded || tickets.length > 0;
    // The order matters: the script starts only the first call of the line.
    return Promise.allSettled(
      placed.map((ticket, index) =>
        this.start(ticket, isCrowded ? { behind: placed[index - 1]?.requestId ?? null } : undefined),
      ),
    );
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
