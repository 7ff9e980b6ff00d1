import { Redis } from 'ioredis';
import { KEEPER_VARIABLE } from './keeper.js';
import type { DaypassAccess } from './launched-daypass.js';

/** As `startRedisServer` starts one. */
const SETTINGS = [
  ['maxclients', '10000'],
  ['maxmemory', '0'],
  ['maxmemory-policy', 'noeviction'],
] as const;

/** Empties the worker's own Redis, and returns its address. Nobody else uses it until this test file has ended. */
export async function borrowRedis(): Promise<string> {
  const { url } = await ask<{ url: string }>('redis');
  const redis = new Redis(url);
  // Whatever an earlier test file left running must not write into this file's Redis.
  for (const type of ['NORMAL', 'PUBSUB'] as const) await redis.client('KILL', 'TYPE', type, 'SKIPME', 'YES');
  // Settings of an earlier test file that failed must not stay.
  await redis.replicaof('NO', 'ONE');
  for (const [name, value] of SETTINGS) await redis.config('SET', name, value);
  await redis.flushall();
  redis.disconnect();
  return url;
}

/** Returns the address of the worker's own Postgres, in which earlier test files may have made databases. */
export async function borrowPostgres(): Promise<string> {
  return (await ask<{ url: string }>('postgres')).url;
}

/**
 * `hurried`: a request must arrive within three seconds. `attacked`: each setting has its default, but one proxy stands
 * before it, images may come from one port of loopback, and campaigns may name the guard `pii`.
 */
export type SharedSettings = 'hurried' | 'attacked';

/** The worker's own running Daypass, in which earlier test files may have left keys and calls. */
export function borrowDaypass(settings: SharedSettings): Promise<DaypassAccess> {
  return ask<DaypassAccess>(`daypass/${settings}`);
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
