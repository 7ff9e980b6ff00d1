import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

export type Trouble = 'failing' | 'account';

/** After so many failures in a row forwarding leaves an upstream alone. */
const OPEN_AFTER = 5;
/** So many of them may come from one key. So three keys must fail: one visitor's request must not stop all others. */
const OF_ONE_KEY_MAX = 2;
/** How long at first, and how long at most. One call in five seconds is no burden to an upstream that recovers. */
const OPEN_MS: Record<Trouble, readonly [number, number]> = {
  failing: [500, 5_000],
  // Money and rights do not come back within a second.
  account: [5_000, 20_000],
};

/**
 * One circuit for each upstream, shared by all processes. Each further failure leaves the upstream alone twice as long.
 */
export class Circuits {
  private readonly tripScript: Script;

  constructor(private readonly redis: Redis) {
    this.tripScript = defineScript(redis, 'trip-circuit');
  }

  /**
   * Counts a failure. `replaceable`: another upstream serves the same calls, so that one refusal of the account is
   * enough. `keyId`: whose request failed, where the request may be the cause. Returns for how many ms forwarding
   * leaves the upstream alone; 0: it does not.
   */
  async failed(upstream: string, trouble: Trouble, replaceable: boolean, keyId = ''): Promise<number> {
    const openAfter = trouble === 'account' && replaceable ? 1 : OPEN_AFTER;
    const args = [trouble, openAfter, ...OPEN_MS[trouble], Math.random(), keyId, OF_ONE_KEY_MAX];
    const [, openMs] = (await this.tripScript([redisKeys.circuit(upstream)], args)) as [number, number];
    return openMs;
  }

  /** Closes the circuit: the upstream answered. */
  async well(upstream: string): Promise<void> {
    await this.redis.del(redisKeys.circuit(upstream));
  }
}
