import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';

const HOUR_MS = 3_600_000;

/** Bytes that a call may fetch. */
interface Allowed {
  bytes: number;
  /** Gives back what the call did not use of it. */
  settle(usedBytes: number): Promise<void>;
}

/** Bounds what the relay fetches for one key in an hour: a short request can make it fetch much. */
export class ImageAllowance {
  constructor(
    private readonly redis: Redis,
    private readonly bytesPerHour: number,
    private readonly nowMs: () => number = Date.now,
  ) {}

  /**
   * Takes up to so many bytes of the key's hour. `retryAfterMs`: it has none left until then.
   *
   * @throws where Redis does
   */
  async take(keyId: string, mostBytes: number): Promise<Allowed | { retryAfterMs: number }> {
    const nowMs = this.nowMs();
    const hour = Math.floor(nowMs / HOUR_MS);
    const key = redisKeys.fetched(keyId, hour);
    const answers = await this.redis
      .multi()
      .incrby(key, mostBytes)
      .pexpire(key, 2 * HOUR_MS)
      .exec();
    const [error, total] = answers?.[0] ?? [new Error('Redis did not count fetched bytes')];
    if (error) throw error;
    const bytes = Math.min(mostBytes, this.bytesPerHour - (Number(total) - mostBytes));
    const giveBack = async (given: number): Promise<void> => {
      // Where Redis does not take it back, the key has less of this hour.
      await this.redis.decrby(key, given).catch(() => undefined);
    };
    if (bytes <= 0) {
      await giveBack(mostBytes);
      return { retryAfterMs: (hour + 1) * HOUR_MS - nowMs };
    }
    return { bytes, settle: (usedBytes) => giveBack(mostBytes - Math.min(usedBytes, bytes)) };
  }
}
