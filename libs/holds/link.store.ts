import type { Redis } from 'ioredis';
import type { LinkState } from '#libs/contracts/claims.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** Projects claim links into Redis, where ingress reads them. */
export class LinkStore {
  private readonly script: Script;

  constructor(redis: Redis) {
    this.script = defineScript(redis, 'project-link');
  }

  /** Returns the version that Redis had. Where that is newer, nothing changed. 0: it had none. */
  async project(state: LinkState): Promise<number> {
    return (await this.script([redisKeys.link(state.token)], [state.version, JSON.stringify(state)])) as number;
  }
}
