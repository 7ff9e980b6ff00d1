/** A read costs much the same for one chunk as for ten: this many leave a core for everything else. */
const READS_A_SECOND = 20_000;
/** Nobody who reads along sees it. */
const PAUSE_MAX_MS = 50;
/** Timers know whole milliseconds. */
const PAUSE_LEAST_MS = 2;

/**
 * How often the streams of one process are read: each chunk as it comes while they are few, and what has gathered meanwhile where
 * they are many, so that a thousand streams cost reads by the second instead of reads by the chunk.
 */
export class StreamPace {
  private open = 0;

  join(): void {
    this.open++;
  }

  leave(): void {
    this.open--;
  }

  /** What a stream waits between two reads; 0: nothing. */
  get pauseMs(): number {
    const ms = Math.min(PAUSE_MAX_MS, Math.floor((this.open * 1_000) / READS_A_SECOND));
    return ms < PAUSE_LEAST_MS ? 0 : ms;
  }

  /** Resolves when a stream may be read again. */
  async pause(): Promise<void> {
    const ms = this.pauseMs;
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
