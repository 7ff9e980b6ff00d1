/** Reading a larger answer holds up all others for more than some milliseconds. */
const LARGE_BYTES = 131_072;

/** The pause after a large answer, in times of the work for it. */
const PAUSES = 4;

/**
 * Reads large answers one at a time, in at most a fifth of the process' time. A visitor gets megabytes with `logprobs`
 * for little money, and the calls of others must go on meanwhile.
 */
export class LargeAnswers {
  private last: Promise<void> = Promise.resolve();

  /** Does the work in its turn; for a small answer at once. @throws what the work throws */
  async read<T>(bytes: number, work: () => T): Promise<T> {
    if (bytes < LARGE_BYTES) return work();
    const before = this.last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.last = promise;
    await before;
    const startedMs = performance.now();
    try {
      return work();
    } finally {
      setTimeout(resolve, PAUSES * (performance.now() - startedMs));
    }
  }
}
