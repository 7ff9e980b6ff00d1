const POLL_MS = 200;

/** A call's place in the order of arrival, which it keeps over several waits. */
export interface Place {
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
  private timer: NodeJS.Timeout | undefined;
  private turns = 0;

  /** How many stand in a line. */
  get waiting(): number {
    return [...this.lines.values()].reduce((sum, line) => sum + line.length, 0);
  }

  takePlace(needNano: bigint): Place {
    return { turn: this.turns++, needNano };
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

  /** A call of these accounts ended, or one that waited for them waits no more: the next may look. */
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
