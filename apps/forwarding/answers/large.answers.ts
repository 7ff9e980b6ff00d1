import { FairQueue } from '#libs/pacing/fair.queue.js';

/** Reading a larger answer holds up all others for more than some milliseconds. */
const LARGE_BYTES = 131_072;

/** The pause after a large answer, in times of the work for it. */
const PAUSES = 4;

/**
 * Reads large answers one at a time, in at most a fifth of the process' time. A visitor gets megabytes with `logprobs`
 * for little money, and the calls of others must go on meanwhile. Keys take turns.
 */
export class LargeAnswers {
  private readonly waiting = new FairQueue<() => void>();
  private isBusy = false;

  /** Does the work in its turn; for a small answer at once. @throws what the work throws */
  async read<T>(keyId: string, bytes: number, work: () => T): Promise<T> {
    if (bytes < LARGE_BYTES) return work();
    if (this.isBusy) await new Promise<void>((resolve) => this.waiting.add(keyId, resolve));
    this.isBusy = true;
    const startedMs = performance.now();
    try {
      return work();
    } finally {
      setTimeout(() => this.next(), PAUSES * (performance.now() - startedMs));
    }
  }

  private next(): void {
    const begin = this.waiting.take();
    if (begin) begin();
    else this.isBusy = false;
  }
}
