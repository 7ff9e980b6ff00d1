import { FairQueue } from './fair.queue.js';

export interface TurnBounds {
  /** So much work of one process runs at once. */
  most: number;
  /** So much of it may be of one key. */
  mostOfKey: number;
  /** So much more waits: in all, and of one key. */
  waiting: number;
  waitingOfKey: number;
  /** The error for whoever comes beyond that. */
  tooMany: () => Error;
}

/** Whose turn it is to do work that must not run for all at once. Keys take turns. */
export class KeyTurns {
  private readonly waiting = new FairQueue<{ key: string; go: () => void }>();
  private readonly running = new Map<string, number>();
  private runs = 0;

  constructor(private readonly bounds: TurnBounds) {}

  /** @throws what `tooMany` makes, where too much waits already */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    if (!this.mayRun(key)) {
      const { waiting, waitingOfKey, tooMany } = this.bounds;
      if (this.waiting.size >= waiting || this.waiting.sizeOf(key) >= waitingOfKey) throw tooMany();
      await new Promise<void>((go) => this.waiting.add(key, { key, go }));
    } else this.begin(key);
    try {
      return await work();
    } finally {
      this.end(key);
    }
  }

  private mayRun(key: string): boolean {
    return this.runs < this.bounds.most && (this.running.get(key) ?? 0) < this.bounds.mostOfKey;
  }

  private begin(key: string): void {
    this.runs++;
    this.running.set(key, (this.running.get(key) ?? 0) + 1);
  }

  private end(key: string): void {
    this.runs--;
    const left = this.running.get(key)! - 1;
    if (left > 0) this.running.set(key, left);
    else this.running.delete(key);
    const next = this.waiting.take((one) => this.mayRun(one.key));
    if (!next) return;
    this.begin(next.key);
    next.go();
  }
}
