import type { JsonObject } from '../json.js';

/** So many events wait parsed. Later ones are parsed again when they are shown, so that a held stream takes little memory. */
const WAITING_MAX = 256;

/** Events of frames that were not shown yet, in their order. */
export class UnshownEvents {
  private readonly waiting: { number: number; frame: string; event: JsonObject }[] = [];
  private added = 0;
  private taken = 0;

  add(frame: string, event: JsonObject): void {
    if (this.waiting.length < WAITING_MAX) this.waiting.push({ number: this.added, frame, event });
    this.added++;
  }

  /** undefined: it must be parsed again, or it was changed since. */
  take(frame: string): JsonObject | undefined {
    const number = this.taken++;
    if (this.waiting[0]?.number !== number) return undefined;
    const first = this.waiting.shift()!;
    return first.frame === frame ? first.event : undefined;
  }
}
