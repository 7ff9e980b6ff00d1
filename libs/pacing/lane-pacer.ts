import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from './lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** A lane without room within the time that the caller has. */
export class LaneBusyError extends Error {
  constructor(readonly waitMs: number) {
    super(`the lane has no room for another ${waitMs} ms`);
    this.name = 'LaneBusyError';
  }
}

/** Paces calls that carry no hold (moderation) through one window over all processes; those of this process that wait go in their order. */
export class LanePacer {
  private readonly reserveScript: Script;
  private readonly freezeScript: Script;
  /** Resolves when the last of those that wait has had its turn. */
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
    // While some wait, nobody passes them.
    if (!this.last && (await this.tryOnce(tokens, until)) === 0) return;
    const before = this.last;
    const turn = Promise.withResolvers<void>();
    this.last = turn.promise;
    try {
      await within(before, until);
      for (let waitMs = await this.tryOnce(tokens, until); waitMs > 0; waitMs = await this.tryOnce(tokens, until))
        await sleep(waitMs);
    } finally {
      // Who lost patience in the line leaves those behind in their order.
      void (before ?? Promise.resolve()).then(turn.resolve);
      void turn.promise.then(() => {
        if (this.last === turn.promise) this.last = undefined;
      });
    }
  }

  /** 0: it may go. @throws LaneBusyError */
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

/** @throws LaneBusyError where it takes longer */
async function within(before: Promise<void> | undefined, until: number): Promise<void> {
  if (!before) return;
  const waitMs = Math.max(0, until - Date.now());
  const timer = new AbortController();
  const late = sleep(waitMs, 'late', { signal: timer.signal }).catch(() => 'late');
  const outcome = await Promise.race([before, late]);
  timer.abort();
  if (outcome === 'late') throw new LaneBusyError(waitMs);
}
