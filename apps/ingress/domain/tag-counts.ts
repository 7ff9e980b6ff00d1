const HOUR_MS = 3_600_000;
const TAGS_MAX = 10_000;

/**
 * Counts what each address does within an hour, in this process. Nothing of it is in Redis, so that looking at a page
 * writes nothing. Times are of `performance.now`.
 */
export class TagCounts {
  private readonly tags = new Map<string, { count: number; untilMs: number }>();

  /** `most`: of one address within an hour. */
  constructor(private readonly most: number) {}

  /** Milliseconds until this address may ask again; 0: now. */
  waitMs(tag: string, nowMs: number): number {
    const seen = this.tags.get(tag);
    if (seen === undefined || seen.untilMs <= nowMs) return 0;
    return seen.count < this.most ? 0 : seen.untilMs - nowMs;
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
