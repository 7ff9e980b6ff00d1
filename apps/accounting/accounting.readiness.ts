import type { Redis } from 'ioredis';
import type { DataSource } from 'typeorm';
import { Door } from '#libs/holds/door.js';

/** Ready: both stores answer, and the door is open. */
export function readiness(source: DataSource, redis: Redis): () => Promise<void> {
  const door = new Door(redis);
  return async () => {
    await source.query('SELECT 1');
    if (!(await door.isOpen())) throw new Error('Redis is compared with the ledger, or rebuilt from it');
  };
}
