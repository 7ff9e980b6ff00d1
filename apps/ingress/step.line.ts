import { Injectable } from '@nestjs/common';

/** A step on so small a body takes a few milliseconds at most, and does not wait. */
const LARGE_BYTES = 65_536;

interface Step {
  work: () => void;
}

/**
 * Keeps work on large bodies from holding the event loop. One step of one body runs at a time. After it, the loop
 * belongs to all other work for as long as the step took.
 */
@Injectable()
export class StepLine {
  private readonly waiting: Step[] = [];
  private isBusy = false;

  /** Runs a step on a body of so many bytes: at once where it is small. Only the synchronous part of a step counts. */
  async run<T>(bytes: number, step: () => T | Promise<T>): Promise<T> {
    if (bytes < LARGE_BYTES) return step();
    return new Promise<T>((resolve, reject) => {
      const work = (): void => {
        try {
          resolve(step());
        } catch (error) {
          reject(error as Error);
        }
      };
      this.waiting.push({ work });
      if (this.isBusy) return;
      this.isBusy = true;
      setImmediate(this.next);
    });
  }

  private readonly next = (): void => {
    const step = this.waiting.shift();
    if (!step) {
      this.isBusy = false;
      return;
    }
    const begunMs = performance.now();
    step.work();
    setTimeout(this.next, Math.ceil(performance.now() - begunMs));
  };
}
