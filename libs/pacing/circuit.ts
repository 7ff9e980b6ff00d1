import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

export type Trouble = 'failing' | 'account';

/** Failures in a row from which on an upstream is left alone. */
const OPEN_AFTER = 5;
/** First, and at most: one call in five seconds is no burden to an upstream that is mended. */
const OPEN_MS: Record<Trouble, readonly [number, number]> = {
  failing: [500, 5_000],
  // Money and rights do not come back within a second.
  account: [5_000, 20_000],
};

/** One circuit for each upstream, over all processes: who fails again and again is left alone, twice as long each time. */
export class Circuits {
  private readonly tripScript: Script;

  constructor(private readonly redis: Redis) {
    this.tripScript = defineScript(redis, 'trip-circuit');
  }

  /** `replaceable`: another upstream serves the same calls, so that one refusal of the account is enough. Returns how long it is left alone; 0: it is not. */
  async failed(upstream: string, trouble: Trouble, replaceable: boolean): Promise<number> {
    const args = [trouble, trouble === 'account' && replaceable ? 1 : OPEN_AFTER, ...OPEN_MS[trouble], Math.random()];
    const [, openMs] = (await this.tripScript([redisKeys.circuit(upstream)], args)) as [number, number];
    return openMs;
  }

  async well(upstream: string): Promise<void> {
    await this.redis.del(redisKeys.circuit(upstream));
  }
}
