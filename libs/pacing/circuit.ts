import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** Failures in a row from which on an upstream is left alone. */
export const OPEN_AFTER = 5;
const OPEN_MS = 500;
const OPEN_MAX_MS = 30_000;
/** Money and rights do not come back within a second. */
const ACCOUNT_OPEN_MS = 5_000;

export type Trouble = 'failing' | 'account';

/** One circuit for each upstream, over all processes: who fails again and again is left alone, twice as long each time. */
export class Circuits {
  private readonly tripScript: Script;

  constructor(private readonly redis: Redis) {
    this.tripScript = defineScript(redis, 'trip-circuit');
  }

  /** `replaceable`: another upstream serves the same calls, so that one refusal of the account is enough. Returns how long it is left alone; 0: it is not. */
  async failed(upstream: string, trouble: Trouble, replaceable: boolean): Promise<number> {
    const account = trouble === 'account';
    const args = [trouble, account && replaceable ? 1 : OPEN_AFTER, account ? ACCOUNT_OPEN_MS : OPEN_MS, OPEN_MAX_MS, Math.random()];
    const [, openMs] = (await this.tripScript([redisKeys.circuit(upstream)], args)) as [number, number];
    return openMs;
  }

  async well(upstream: string): Promise<void> {
    await this.redis.del(redisKeys.circuit(upstream));
  }
}
