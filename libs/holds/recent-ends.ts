import type { EndRequest } from './hold.types.js';

/** Redis syncs its append-only file every second and can lose little more. The rest is time to notice the loss. */
const KEPT_MS = 30_000;
const KEPT_MAX = 20_000;

/** The last ends of this process without their answers, to repeat them to a Redis that lost its last seconds. */
export class RecentEnds {
  private ends: { atMs: number; end: EndRequest }[] = [];

  add({ reply: _, keep: __, events: ___, ...end }: EndRequest): void {
    const now = performance.now();
    if (this.ends.length >= KEPT_MAX || (this.ends[0]?.atMs ?? now) < now - 2 * KEPT_MS) {
      this.ends = this.ends.filter(({ atMs }) => atMs >= now - KEPT_MS).slice(-KEPT_MAX / 2);
    }
    this.ends.push({ atMs: now, end });
  }

  all(): EndRequest[] {
    const since = performance.now() - KEPT_MS;
    return this.ends.filter(({ atMs }) => atMs >= since).map(({ end }) => end);
  }
}
