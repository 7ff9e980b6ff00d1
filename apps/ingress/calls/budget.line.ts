const POLL_MS = 200;

/** A call's place in the order of arrival, which it keeps over several waits. */
export interface Place {
  readonly keyId: string;
  readonly turn: number;
  readonly needNano: bigint;
}

interface Waiting {
  place: Place;
  wake: () => void;
}

/**
 * Calls that wait for running ones of the same account to end and give money back: a line for each account, first come,
 * first served. The one in front looks again when a call of this process ends, and five times a second for those of others.
 * With it look those who need at most half of what everybody before them needs: a dear call does not hold up cheap ones, and
 * a look costs few scripts, however many wait.
 */
export class BudgetLine {
  private readonly lines = new Map<string, Waiting[]>();
  private readonly placesByKey = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private turns = 0;

  /** @param placesPerKey waiting costs nothing, so that one key could fill the process with calls that wait */
  constructor(private readonly placesPerKey: number) {}

  /** How many calls have a place. */
  get size(): number {
    return [...this.placesByKey.values()].reduce((sum, places) => sum + places, 0);
  }

  /** A place, to be left in the end; undefined when the key has as many as it may. */
  enter(keyId: string, needNano: bigint): Place | undefined {
    const places = this.placesByKey.get(keyId) ?? 0;
    if (places >= this.placesPerKey) return undefined;
    this.placesByKey.set(keyId, places + 1);
    return { keyId, turn: this.turns++, needNano };
  }

  /** The call waits no more, whatever became of it: the next of these accounts may look. */
  leave({ keyId }: Place, accounts: readonly string[]): void {
    const places = this.placesByKey.get(keyId)! - 1;
    if (places > 0) this.placesByKey.set(keyId, places);
    else this.placesByKey.delete(keyId);
    this.wake(accounts);
  }

  /** Resolves when it is time to look again, or the time is over (`untilMs`, as `performance.now` tells it), or the signal aborts. */
  async wait(account: string, place: Place, untilMs: number, signal: AbortSignal): Promise<void> {
    const line = this.lines.get(account) ?? [];
    this.lines.set(account, line);
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting: Waiting = { place, wake: resolve };
    const behind = line.findIndex((other) => other.place.turn > place.turn);
    line.splice(behind < 0 ? line.length : behind, 0, waiting);
    const over = setTimeout(resolve, Math.max(0, untilMs - performance.now()));
    const leave = (): void => resolve();
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    this.timer ??= setInterval(() => this.wake([...this.lines.keys()]), POLL_MS).unref();
    await promise;
    clearTimeout(over);
    signal.removeEventListener('abort', leave);
    line.splice(line.indexOf(waiting), 1);
    if (line.length === 0) this.lines.delete(account);
    if (this.lines.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
  }

  /** A call of these accounts ended: the next may look. */
  wake(accounts: readonly string[]): void {
    for (const account of accounts) {
      let leastNano: bigint | undefined;
      for (const { place, wake } of this.lines.get(account) ?? []) {
        if (leastNano !== undefined && place.needNano * 2n > leastNano) continue;
        leastNano = place.needNano;
        wake();
      }
    }
  }
}
