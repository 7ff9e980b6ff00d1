import type { Redis } from 'ioredis';

/** Redis' own clock in milliseconds since 1970, which leases, limits and the ends of keys go by. */
export async function redisNowMs(redis: Redis): Promise<number> {
  const [seconds, micros] = (await redis.time()) as unknown as [string, string];
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}
