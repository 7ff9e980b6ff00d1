import { FairQueue } from '#libs/pacing/fair.queue.js';
import { tooManyReads } from './shelf.faults.js';

/** So many readings of one process run at once. Each may have a key's whole shelf in memory. */
const READS_MAX = 8;
const READS_OF_KEY_MAX = 2;
/** So many more of one key wait. */
const WAITING_OF_KEY_MAX = 256;

/** Whose turn it is to read the shelf. Keys take turns. */
export class ShelfTurns {
  private readonly waiting = new FairQueue<{ keyId: string; go: () => void }>();
  private readonly running = new Map<string, number>();
  private reads = 0;

  /** @throws DaypassError `rate_limit_exceeded` where too many of the key wait already */
  async run<T>(keyId: string, read: () => Promise<T>): Promise<T> {
    if (!this.mayRead(keyId)) {
      if (this.waiting.sizeOf(keyId) >= WAITING_OF_KEY_MAX) throw tooManyReads();
      await new Promise<void>((go) => this.waiting.add(keyId, { keyId, go }));
    } else this.begin(keyId);
    try {
      return await read();
    } finally {
      this.end(keyId);
    }
  }

  private mayRead(keyId: string): boolean {
    return this.reads < READS_MAX && (this.running.get(keyId) ?? 0) < READS_OF_KEY_MAX;
  }

  private begin(keyId: string): void {
    this.reads++;
    this.running.set(keyId, (this.running.get(keyId) ?? 0) + 1);
  }

  private end(keyId: string): void {
    this.reads--;
    const left = this.running.get(keyId)! - 1;
    if (left > 0) this.running.set(keyId, left);
    else this.running.delete(keyId);
    const next = this.waiting.take((one) => this.mayRead(one.keyId));
    if (!next) return;
    this.begin(next.keyId);
    next.go();
  }
}
