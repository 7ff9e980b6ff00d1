import { setTimeout as sleep } from 'node:timers/promises';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';

/** The pause of loops that run each second. */
export const PERIOD_MIN_MS = 1_000;
/** Loops with at most this pause keep step with each other. */
const STEP_MAX_MS = 10_000;

/**
 * Until the next whole multiple of the pause. So loops wake together: an idle process sleeps longer, and what they send to
 * a store leaves in one write. After long work at least half of the pause remains.
 */
export function pauseUntilStep(pauseMs: number, nowMs: number): number {
  if (pauseMs > STEP_MAX_MS) return pauseMs;
  const restMs = pauseMs - (nowMs % pauseMs);
  return restMs >= pauseMs / 2 ? restMs : restMs + pauseMs;
}

/** Repeats some work, never twice at once: the pause begins when the work ends. It reports an error and tries again. */
export class Periodic {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly pauseMs: number,
    private readonly work: () => Promise<void>,
    private readonly onError: (error: unknown) => void,
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  /** Resolves when the running work has ended. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        await this.work();
      } catch (error) {
        this.onError(error);
      }
      await sleep(pauseUntilStep(this.pauseMs, Date.now()), undefined, { signal }).catch(() => undefined);
    }
  }
}

/** A service that repeats its work while the process lives, and finishes the running work before shutdown. */
export abstract class PeriodicService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  protected abstract readonly loop: Periodic;

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }
}
