import { FairQueue } from '#libs/pacing/fair.queue.js';
import { Places, type Holder } from '#libs/pacing/places.js';

interface Waiting {
  holder: Holder;
  sinceMs: number;
  go: () => void;
}

/**
 * The places of a moderation process for calls that it judges. A call without a place waits in the line of its key, and
 * keys take turns. Ingress bounds how many calls can wait: all of them are open there.
 */
export class JudgingPlaces {
  private readonly places: Places;
  private readonly waiting = new FairQueue<Waiting>();

  /** @param alone how many calls of one key the process judges at once, while nobody else calls */
  constructor(alone: number) {
    this.places = new Places(alone);
  }

  /** Resolves when the call has a place. It keeps the place until `leave`. */
  async enter(holder: Holder): Promise<void> {
    if (this.places.take(holder)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.waiting.add(holder.keyId, { holder, sinceMs: performance.now(), go: resolve });
    await promise;
  }

  leave(holder: Holder): void {
    this.places.release(holder);
    for (;;) {
      const next = this.waiting.take((one) => this.places.take(one.holder));
      if (!next) return;
      next.go();
    }
  }

  /** How long the first of the waiting calls has waited; 0: none waits. */
  get oldestMs(): number {
    const nowMs = performance.now();
    return this.waiting.heads().reduce((most, { sinceMs }) => Math.max(most, nowMs - sinceMs), 0);
  }
}
