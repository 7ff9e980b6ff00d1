import { FairQueue } from '#libs/pacing/fair.queue.js';

/** A process fetches for so many calls at once, which bounds its memory, and for so many of one key. */
const AT_ONCE = 6;
const OF_KEY_AT_ONCE = 3;
/** Each call that waits keeps a job of the worker busy, of which there are 256 (`DAYPASS_CONCURRENCY`). */
const OF_KEY_WAITING = 30;

interface Waiting {
  keyId: string;
  go: () => void;
}

/** Whose images are fetched now. One key takes a share of a process, and waits in its own line for more. */
export class ImageTurns {
  private readonly running = new Map<string, number>();
  private readonly waiting = new FairQueue<Waiting>();
  private all = 0;

  /** Runs the work in its turn. null: the key has too many in line, or its turn did not come before the signal. */
  async run<T>(keyId: string, signal: AbortSignal, work: () => Promise<T>): Promise<T | null> {
    if (this.hasRoom(keyId)) this.count(keyId, 1);
    else if (!(await this.wait(keyId, signal))) return null;
    try {
      return await work();
    } finally {
      this.count(keyId, -1);
      this.next();
    }
  }

  private hasRoom(keyId: string): boolean {
    return this.all < AT_ONCE && (this.running.get(keyId) ?? 0) < OF_KEY_AT_ONCE;
  }

  private wait(keyId: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || this.waiting.sizeOf(keyId) >= OF_KEY_WAITING) return Promise.resolve(false);
    return new Promise((resolve) => {
      const onAbort = (): void => {
        this.waiting.remove(keyId, waiting);
        resolve(false);
      };
      const waiting = {
        keyId,
        go: () => {
          signal.removeEventListener('abort', onAbort);
          resolve(true);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting.add(keyId, waiting);
    });
  }

  private count(keyId: string, change: 1 | -1): void {
    this.all += change;
    const running = (this.running.get(keyId) ?? 0) + change;
    if (running === 0) this.running.delete(keyId);
    else this.running.set(keyId, running);
  }

  private next(): void {
    const next = this.waiting.take(({ keyId }) => this.hasRoom(keyId));
    if (!next) return;
    this.count(next.keyId, 1);
    next.go();
  }
}
