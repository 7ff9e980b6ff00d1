import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from '#libs/redis/lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** A lane without room within the time that the caller has. */
export class LaneBusyError extends Error {
  constructor(readonly waitMs: number) {
    super(`the lane has no room for another ${waitMs} ms`);
    this.name = 'LaneBusyError';
  }
}

/** Paces calls that carry no hold (moderation) through one window over all processes. */
export class LanePacer {
  private readonly reserveScript: Script;
  private readonly freezeScript: Script;

  constructor(
    redis: Redis,
    readonly upstream: LaneUpstream,
  ) {
    this.reserveScript = defineScript(redis, 'reserve-lane');
    this.freezeScript = defineScript(redis, 'freeze-lane');
  }

  /**
   * Resolves when a call of this many tokens may go.
   * @throws LaneBusyError when that would take longer than `patienceMs`, or never
   */
  async reserve(tokens: number, patienceMs: number): Promise<void> {
    const until = Date.now() + patienceMs;
    for (;;) {
      const waitMs = (await this.reserveScript(upstreamKeys([this.upstream]), [1, tokens, ...upstreamArgs([this.upstream])])) as number;
      if (waitMs === 0) return;
      if (waitMs < 0 || Date.now() + waitMs > until) throw new LaneBusyError(waitMs < 0 ? Number.POSITIVE_INFINITY : waitMs);
      await sleep(waitMs);
    }
  }

  async freeze(freezeMs: number): Promise<void> {
    const { slot } = this.upstream;
    await this.freezeScript([redisKeys.laneWindow(slot), redisKeys.laneState(slot)], [Math.max(1, Math.ceil(freezeMs))]);
  }
}
