import type { Redis } from 'ioredis';

const trackers = new WeakMap<Redis, RunId>();

/**
 * Which run of Redis a connection talks to: Redis makes up a new id at every start (INFO, `run_id`). Scripts compare it with
 * the run that accounting has vetted, so that a Redis that came back with less than it knew is not used before it is mended.
 */
export class RunId {
  private current = '';
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
    return this.current || this.read();
  }

  private read(): Promise<string> {
    this.reading ??= this.ask().finally(() => (this.reading = undefined));
    return this.reading;
  }

  private async ask(): Promise<string> {
    const info = await this.redis.info('server');
    // A Redis behind a proxy may hide it; then one word stands for every run, and only its data tells a loss.
    this.current = /^run_id:(\w+)/m.exec(info)?.[1] ?? 'unknown';
    return this.current;
  }
}
