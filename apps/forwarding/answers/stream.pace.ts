/** A read of ten chunks costs about as much as a read of one. So many reads leave most of a core to everything else. */
const READS_A_SECOND = 20_000;
/** A pause that no reader notices. */
const PAUSE_MAX_MS = 50;
/** Timers count in whole milliseconds, so that a shorter pause is not exact. */
const PAUSE_LEAST_MS = 2;

/**
 * Decides how often a process reads its streams. While they are few, it reads each chunk as it comes. Where they are
 * many, it pauses, and the next read takes all chunks that came meanwhile.
 */
export class StreamPace {
  private open = 0;

  join(): void {
    this.open++;
  }

  leave(): void {
    this.open--;
  }

  /** How long a stream waits between two reads; 0: it does not wait. */
  get pauseMs(): number {
    const ms = Math.min(PAUSE_MAX_MS, Math.floor((this.open * 1_000) / READS_A_SECOND));
    return ms < PAUSE_LEAST_MS ? 0 : ms;
  }

  /** Resolves when the process may read the stream again. */
  async pause(): Promise<void> {
    const ms = this.pauseMs;
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
