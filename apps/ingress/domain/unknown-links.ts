const HOUR_MS = 3_600_000;
/** So many unknown links one address may ask for within an hour. */
export const UNKNOWN_LINKS_PER_HOUR = 60;
const TAGS_MAX = 10_000;

/**
 * Counts who asks for links that do not exist, in this process. A guesser then gets no answer at all, also for links
 * that do exist. Nothing of it is in Redis, so that looking at a page writes nothing. Times are of `performance.now`.
 */
export class UnknownLinks {
  private readonly tags = new Map<string, { count: number; untilMs: number }>();

  /** Milliseconds until this address may ask again; 0: now. */
  waitMs(tag: string, nowMs: number): number {
    const seen = this.tags.get(tag);
    if (seen === undefined || seen.untilMs <= nowMs) return 0;
    return seen.count < UNKNOWN_LINKS_PER_HOUR ? 0 : seen.untilMs - nowMs;
  }

  count(tag: string, nowMs: number): void {
    const seen = this.tags.get(tag);
    if (seen !== undefined && seen.untilMs > nowMs) {
      seen.count += 1;
      return;
    }
    this.tags.delete(tag);
    if (this.tags.size >= TAGS_MAX) this.tags.delete(this.tags.keys().next().value!);
    this.tags.set(tag, { count: 1, untilMs: nowMs + HOUR_MS });
  }
}
