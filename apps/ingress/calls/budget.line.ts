const POLL_MS = 200;

/** A call that waits for money. It keeps its number in the order of arrival over several waits. */
export interface Arrival {
  readonly keyId: string;
  /** Of its request, which the process keeps meanwhile. */
  readonly bytes: number;
  readonly number: number;
  readonly needNano: bigint;
}

interface Waiting {
  arrival: Arrival;
  wake: () => void;
}

/**
 * Calls that wait until running calls of the same account give money back. Each account has a line: first come, first
 * served. The first call tries again when a call of this process ends, and five times a second for those of others.
 * With it try all that need at most half of what everybody before them needs. So a dear call does not hold up cheap
 * ones, and each try costs few scripts, however many calls wait.
 */
export class BudgetLine {
  private readonly lines = new Map<string, Waiting[]>();
  private readonly waitingByKey = new Map<string, { calls: number; bytes: number }>();
  private bytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private arrivals = 0;

  /** @param most waiting costs nothing, so that one key could fill the process with calls that wait */
  constructor(private readonly most: { callsOfKey: number; bytesOfKey: number; bytes: number }) {}

  /** How many calls wait. */
  get size(): number {
    return [...this.waitingByKey.values()].reduce((sum, { calls }) => sum + calls, 0);
  }

  /** Lets a call wait, until `leave`; undefined where as many calls, or bytes, wait as may. */
  enter(keyId: string, needNano: bigint, bytes: number): Arrival | undefined {
    const waiting = this.waitingByKey.get(keyId) ?? { calls: 0, bytes: 0 };
    if (waiting.calls >= this.most.callsOfKey || waiting.bytes + bytes > this.most.bytesOfKey) return undefined;
    if (this.bytes + bytes > this.most.bytes) return undefined;
    this.bytes += bytes;
    this.waitingByKey.set(keyId, { calls: waiting.calls + 1, bytes: waiting.bytes + bytes });
    return { keyId, bytes, number: this.arrivals++, needNano };
  }

  /** The call waits no more: the next calls of these accounts may try. */
  leave({ keyId, bytes }: Arrival, accounts: readonly string[]): void {
    const waiting = this.waitingByKey.get(keyId)!;
    this.bytes -= bytes;
    if (waiting.calls > 1) this.waitingByKey.set(keyId, { calls: waiting.calls - 1, bytes: waiting.bytes - bytes });
    else this.waitingByKey.delete(keyId);
    this.wake(accounts);
  }

  /** Resolves when the call may try again, at `untilMs` (by `performance.now`), or when the signal aborts. */
  async wait(account: string, arrival: Arrival, untilMs: number, signal: AbortSignal): Promise<void> {
    const line = this.lines.get(account) ?? [];
    this.lines.set(account, line);
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting: Waiting = { arrival, wake: resolve };
    const behind = line.findIndex((other) => other.arrival.number > arrival.number);
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

  /** A call of these accounts ended: the next ones may try. */
  wake(accounts: readonly string[]): void {
    for (const account of accounts) {
      let leastNano: bigint | undefined;
      for (const { arrival, wake } of this.lines.get(account) ?? []) {
        if (leastNano !== undefined && arrival.needNano * 2n > leastNano) continue;
        leastNano = arrival.needNano;
        wake();
      }
    }
  }
}
