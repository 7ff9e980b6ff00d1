interface Known<T> {
  value: T;
  atMs: number;
}

/**
 * Remembers values by name for a short time, and so many of them at most: then it forgets the oldest. Times are of
 * `performance.now`, and never go back.
 */
export class BrieflyKnown<T> {
  /** In the order of their times. */
  private readonly known = new Map<string, Known<T>>();

  constructor(
    private readonly lifeMs: number,
    private readonly most: number,
  ) {}

  get(name: string, nowMs: number): T | undefined {
    const known = this.known.get(name);
    return known !== undefined && nowMs - known.atMs < this.lifeMs ? known.value : undefined;
  }

  set(name: string, value: T, nowMs: number): void {
    this.known.delete(name);
    for (const [oldest, { atMs }] of this.known) {
      if (this.known.size < this.most && nowMs - atMs < this.lifeMs) break;
      this.known.delete(oldest);
    }
    this.known.set(name, { value, atMs: nowMs });
  }

  forget(name: string): void {
    this.known.delete(name);
  }

  get size(): number {
    return this.known.size;
  }
}
