import { setTimeout as sleep } from 'node:timers/promises';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';

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
      await sleep(this.pauseMs, undefined, { signal }).catch(() => undefined);
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
