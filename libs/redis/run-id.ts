import type { Redis } from 'ioredis';

/** A proxy may put another server behind a connection that stays. Every process finds that out so soon. */
const ASK_EVERY_MS = 1_000;

const trackers = new WeakMap<Redis, RunId>();

/**
 * Finds the run of Redis that a connection talks to: Redis makes a new id at every start (INFO, `run_id`). Scripts
 * compare it with the run that accounting has checked. So nobody uses a Redis that lost data before accounting has
 * mended it.
 */
export class RunId {
  private current = '';
  private askedAtMs = 0;
  private reading: Promise<string> | undefined;

  private constructor(private readonly redis: Redis) {
    redis.on('close', () => (this.current = ''));
  }

  static of(redis: Redis): RunId {
    let tracker = trackers.get(redis);
    if (!tracker) trackers.set(redis, (tracker = new RunId(redis)));
    return tracker;
  }

  /** @throws when Redis does not answer */
  get(): string | Promise<string> {
    if (this.current === '') return this.read();
    if (performance.now() - this.askedAtMs > ASK_EVERY_MS) this.read().catch(() => undefined);
    return this.current;
  }

  private read(): Promise<string> {
    this.reading ??= this.ask().finally(() => (this.reading = undefined));
    return this.reading;
  }

  private async ask(): Promise<string> {
    this.askedAtMs = performance.now();
    const info = await this.redis.info('server');
    // A proxy may hide the id. Then all runs have the same id, and only missing data shows a loss.
    this.current = /^run_id:(\w+)/m.exec(info)?.[1] ?? 'unknown';
    return this.current;
  }
}
