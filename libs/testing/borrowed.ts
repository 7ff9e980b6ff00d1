import { Redis } from 'ioredis';
import { KEEPER_VARIABLE } from './keeper.js';
import type { DaypassPlace } from './launched-daypass.js';

/** As `startRedisServer` starts one. */
const SETTINGS = [
  ['maxclients', '10000'],
  ['maxmemory', '0'],
  ['maxmemory-policy', 'noeviction'],
] as const;

/** The worker's own Redis, emptied: nobody else uses it until this test file has ended. Returns its address. */
export async function borrowRedis(): Promise<string> {
  const { url } = await ask<{ url: string }>('redis');
  const redis = new Redis(url);
  // What an earlier file left running must not write into this one's store.
  for (const type of ['NORMAL', 'PUBSUB'] as const) await redis.client('KILL', 'TYPE', type, 'SKIPME', 'YES');
  // Nor what it set be in force when it failed half-way.
  await redis.replicaof('NO', 'ONE');
  for (const [name, value] of SETTINGS) await redis.config('SET', name, value);
  await redis.flushall();
  redis.disconnect();
  return url;
}

/** The worker's own Postgres, with whatever databases earlier files have made in it. Returns the address of its first database. */
export async function borrowPostgres(): Promise<string> {
  return (await ask<{ url: string }>('postgres')).url;
}

/** The worker's own Daypass, running, with whatever earlier files have done in it. */
export function borrowDaypass(): Promise<DaypassPlace> {
  return ask<DaypassPlace>('daypass');
}

async function ask<T>(what: string): Promise<T> {
  const keeper = process.env[KEEPER_VARIABLE];
  if (keeper === undefined)
    throw new Error(`${KEEPER_VARIABLE} is not set: run tests through jest, whose configuration starts the keeper`);
  const response = await fetch(`${keeper}/${what}?worker=${process.env.JEST_WORKER_ID ?? ''}`);
  const text = await response.text();
  if (!response.ok) throw new Error(`the keeper could not lend ${what}: ${text}`);
  return JSON.parse(text) as T;
}
