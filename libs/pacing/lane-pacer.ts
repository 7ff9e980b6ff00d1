import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { LaneLimits } from './lanes.js';

/** A lane without room within the time that the caller has. */
export class LaneBusyError extends Error {
  constructor(readonly waitMs: number) {
    super(`the lane has no room for another ${waitMs} ms`);
    this.name = 'LaneBusyError';
  }
}

/** Paces calls that carry no hold (moderation) through one window over all processes. */
export class LanePacer {
  private readonly keys: readonly string[];
  private readonly reserveScript: Script;
  private readonly freezeScript: Script;

  constructor(
    redis: Redis,
    lane: string,
    readonly limits: LaneLimits,
  ) {
    this.keys = [redisKeys.laneWindow(lane), redisKeys.laneState(lane)];
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
      const waitMs = (await this.reserveScript(this.keys, [1, tokens, this.limits.rpm, this.limits.tpm, this.limits.burstMs])) as number;
      if (waitMs === 0) return;
      if (waitMs < 0 || Date.now() + waitMs > until) throw new LaneBusyError(waitMs < 0 ? Number.POSITIVE_INFINITY : waitMs);
      await sleep(waitMs);
    }
  }

  async freeze(freezeMs: number): Promise<void> {
    await this.freezeScript(this.keys, [Math.max(1, Math.ceil(freezeMs))]);
  }
}
