import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from './lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** The lane has no room within the caller's time. */
export class LaneBusyError extends Error {
  constructor(readonly waitMs: number) {
    super(`the lane has no room for another ${waitMs} ms`);
    this.name = 'LaneBusyError';
  }
}

/**
 * Paces calls without a hold (moderation) by one window of all processes. Waiting calls of this process keep their
 * order.
 */
export class LanePacer {
  private readonly reserveScript: Script;
  private readonly freezeScript: Script;
  /** Resolves when the last waiting call has had its turn. */
  private last: Promise<void> | undefined;

  constructor(
    redis: Redis,
    readonly upstream: LaneUpstream,
  ) {
    this.reserveScript = defineScript(redis, 'reserve-lane');
    this.freezeScript = defineScript(redis, 'freeze-lane');
  }

  /** Calls of this process wait for room. */
  get isWaitedFor(): boolean {
    return this.last !== undefined;
  }

  /**
   * Resolves when a call of this many tokens may go.
   * @throws LaneBusyError when that would take longer than `patienceMs`, or never
   */
  async reserve(tokens: number, patienceMs: number): Promise<void> {
    const until = Date.now() + patienceMs;
    // While calls wait, a new one does not overtake them.
    if (!this.last && (await this.tryOnce(tokens, until)) === 0) return;
    const before = this.last;
    const turn = Promise.withResolvers<void>();
    this.last = turn.promise;
    try {
      await within(before, until);
      for (let waitMs = await this.tryOnce(tokens, until); waitMs > 0; waitMs = await this.tryOnce(tokens, until))
        await sleep(waitMs);
    } finally {
      // Where this call gives up, those behind it still wait for those before it.
      void (before ?? Promise.resolve()).then(turn.resolve);
      void turn.promise.then(() => {
        if (this.last === turn.promise) this.last = undefined;
      });
    }
  }

  /** Returns the ms to wait; 0: the lane is reserved. @throws LaneBusyError */
  private async tryOnce(tokens: number, until: number): Promise<number> {
    const waitMs = (await this.reserveScript(upstreamKeys([this.upstream]), [
      1,
      tokens,
      ...upstreamArgs([this.upstream]),
    ])) as number;
    if (waitMs < 0 || (waitMs > 0 && Date.now() + waitMs > until))
      throw new LaneBusyError(waitMs < 0 ? Number.POSITIVE_INFINITY : waitMs);
    return waitMs;
  }

  async freeze(freezeMs: number): Promise<void> {
    const { slot } = this.upstream;
    await this.freezeScript(
      [redisKeys.laneWindow(slot), redisKeys.laneState(slot)],
      [Math.max(1, Math.ceil(freezeMs))],
    );
  }
}

/** Awaits the calls before this one. @throws LaneBusyError where that takes longer than until `until` */
async function within(before: Promise<void> | undefined, until: number): Promise<void> {
  if (!before) return;
  const waitMs = Math.max(0, until - Date.now());
  const timer = new AbortController();
  const late = sleep(waitMs, 'late', { signal: timer.signal }).catch(() => 'late');
  const outcome = await Promise.race([before, late]);
  timer.abort();
  if (outcome === 'late') throw new LaneBusyError(waitMs);
}
