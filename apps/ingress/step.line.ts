import { Injectable } from '@nestjs/common';
import { FairQueue } from '#libs/pacing/fair.queue.js';

/** A step on so small a body takes a few milliseconds at most, and does not wait. */
export const LARGE_BYTES = 65_536;

/**
 * Keeps work on large bodies from holding the event loop. One step of one body runs at a time. After it, the loop
 * belongs to all other work for as long as the step took. Keys take turns.
 */
@Injectable()
export class StepLine {
  private readonly waiting = new FairQueue<() => void>();
  private isBusy = false;

  /** Runs a step on a body of so many bytes: at once where it is small. Only the synchronous part of a step counts. */
  async run<T>(keyId: string, bytes: number, step: () => T | Promise<T>): Promise<T> {
    if (bytes < LARGE_BYTES) return step();
    return new Promise<T>((resolve, reject) => {
      const work = (): void => {
        try {
          resolve(step());
        } catch (error) {
          reject(error as Error);
        }
      };
      this.waiting.add(keyId, work);
      if (this.isBusy) return;
      this.isBusy = true;
      setImmediate(this.next);
    });
  }

  private readonly next = (): void => {
    const work = this.waiting.take();
    if (!work) {
      this.isBusy = false;
      return;
    }
    const begunMs = performance.now();
    work();
    setTimeout(this.next, Math.ceil(performance.now() - begunMs));
  };
}
