import type { EndRequest } from './hold.types.js';

/** Longer than an append-only file that is synced every second can lose, with room for noticing it. */
const KEPT_MS = 30_000;
const KEPT_MAX = 20_000;

/** What a worker ended lately, without the answers, so that it can be said again to a Redis that lost its last moments. */
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
