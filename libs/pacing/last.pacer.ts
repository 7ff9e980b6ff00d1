import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from './lane.upstreams.js';

/** Inquiries take at most a quarter of the moderation lane. */
export const INQUIRY_SHARE = 4;
/** A quarter of OpenAI's first tier, where nobody knows the lane's limits. */
const UNKNOWN_RPM = 125;
const UNKNOWN_TPM = 2_500;

/** Paces what visitors ask of the moderation endpoint itself: after all verdicts, by windows of all processes. */
export class LastPacer {
  private readonly reserveScript: Script;
  private readonly freezeScript: Script;
  private readonly window: string;

  constructor(
    redis: Redis,
    private readonly upstream: LaneUpstream,
  ) {
    this.reserveScript = defineScript(redis, 'reserve-last');
    this.freezeScript = defineScript(redis, 'freeze-inquiries');
    this.window = redisKeys.laneInquiries(upstream.slot);
  }

  /** Ms to wait; 0: an inquiry of so many tokens may go; Infinity: none of so many ever may. */
  async reserve(tokens: number): Promise<number> {
    const waitMs = (await this.reserveScript(
      [this.window, ...upstreamKeys([this.upstream])],
      [tokens, INQUIRY_SHARE, UNKNOWN_RPM, UNKNOWN_TPM, ...upstreamArgs([this.upstream])],
    )) as number;
    return waitMs < 0 ? Infinity : waitMs;
  }

  /** After a 429 to an inquiry. Verdicts go on: the lane's own 429 stops those. */
  async freeze(freezeMs: number): Promise<void> {
    await this.freezeScript([this.window], [Math.max(1, Math.ceil(freezeMs))]);
  }
}
