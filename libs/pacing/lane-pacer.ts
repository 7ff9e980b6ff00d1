import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { FairQueue } from './fair.queue.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from './lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** The lane has no room within the caller's time. */
export class LaneBusyError extends Error {
  constructor(readonly waitMs: number) {
    super(`the lane has no room for another ${waitMs} ms`);
    this.name = 'LaneBusyError';
  }
}

interface Waiting {
  tokens: number;
  untilMs: number;
  go: () => void;
  fail: (error: unknown) => void;
}

/**
 * Paces calls without a hold (moderation) by one window of all processes. Waiting calls of this process go one by one.
 * Their keys take turns, and calls of one key keep their order.
 */
export class LanePacer {
  private readonly reserveScript: Script;
  private readonly freezeScript: Script;
  private readonly waiting = new FairQueue<Waiting>();
  private isServing = false;

  constructor(
    redis: Redis,
    readonly upstream: LaneUpstream,
  ) {
    this.reserveScript = defineScript(redis, 'reserve-lane');
    this.freezeScript = defineScript(redis, 'freeze-lane');
  }

  /** Calls of this process wait for room. */
  get isWaitedFor(): boolean {
    return this.isServing;
  }

  /**
   * Resolves when a call of this many tokens may go. `keyId`: whose call it is.
   * @throws LaneBusyError when that would take longer than `patienceMs`, or never
   */
  async reserve(tokens: number, patienceMs: number, keyId = ''): Promise<void> {
    const untilMs = Date.now() + patienceMs;
    // While calls wait, a new one does not overtake them.
    if (!this.isServing && (await this.tryOnce(tokens, untilMs)) === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { tokens, untilMs, go: resolve, fail: reject };
    this.waiting.add(keyId, waiting);
    const late = setTimeout(() => {
      if (this.waiting.remove(keyId, waiting)) reject(new LaneBusyError(Math.max(0, patienceMs)));
    }, patienceMs);
    if (!this.isServing) void this.serve();
    return promise.finally(() => clearTimeout(late));
  }

  private async serve(): Promise<void> {
    this.isServing = true;
    for (let next = this.waiting.take(); next; next = this.waiting.take()) {
      const { tokens, untilMs, go, fail } = next;
      try {
        for (let waitMs = await this.tryOnce(tokens, untilMs); waitMs > 0; waitMs = await this.tryOnce(tokens, untilMs))
          await sleep(waitMs);
        go();
      } catch (error) {
        fail(error);
      }
    }
    this.isServing = false;
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
