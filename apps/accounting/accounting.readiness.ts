import type { Redis } from 'ioredis';
import type { DataSource } from 'typeorm';
import { redisKeys } from '#libs/redis/keys.js';

/** Ready: both stores answer and Redis has its epoch, that is, calls can be let in. */
export function readiness(source: DataSource, redis: Redis): () => Promise<void> {
  return async () => {
    await source.query('SELECT 1');
    if ((await redis.exists(redisKeys.epoch)) === 0) throw new Error('Redis is being rebuilt from the ledger');
  };
}
