import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { Holder } from './places.js';

export type Trouble = 'failing' | 'account';

/** After so many failures in a row forwarding leaves an upstream alone. */
const OPEN_AFTER = 5;
/** So many of them may come from one key. So three keys must fail: one visitor's request must not stop all others. */
const OF_ONE_KEY_MAX = 2;
/** So many may come from one campaign while another one calls the upstream, too: a campaign may have many keys. */
const OF_ONE_CAMPAIGN_MAX = 3;
const MINUTE_MS = 60_000;
/** Whose request failed. `lanes`: all that the upstream serves, which tell who else calls it. */
export interface Caller extends Holder {
  readonly lanes: readonly string[];
}

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
   * enough. `caller`: where the request may be the cause; null: no request can be. Returns for how many ms forwarding
   * leaves the upstream alone; 0: it does not.
   */
  async failed(
    upstream: string,
    trouble: Trouble,
    replaceable: boolean,
    caller: Caller | null = null,
  ): Promise<number> {
    const openAfter = trouble === 'account' && replaceable ? 1 : OPEN_AFTER;
    const { keyId = '', campaignId = '', lanes = [] } = caller ?? {};
    const minute = Math.floor(Date.now() / MINUTE_MS);
    const shares = lanes.flatMap((lane) => [
      redisKeys.laneShares(lane, minute),
      redisKeys.laneShares(lane, minute - 1),
    ]);
    const caps = [keyId, OF_ONE_KEY_MAX, campaignId, OF_ONE_CAMPAIGN_MAX];
    const args = [trouble, openAfter, ...OPEN_MS[trouble], Math.random(), ...caps];
    const [, openMs] = (await this.tripScript([redisKeys.circuit(upstream), ...shares], args)) as [number, number];
    return openMs;
  }

  /** Closes the circuit: the upstream answered. */
  async well(upstream: string): Promise<void> {
    await this.redis.del(redisKeys.circuit(upstream));
  }
}
