import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { moneyConnection, whenReady } from '#libs/redis/connection.js';
import { startRedisServer, type RedisServer } from './redis-server.js';

let [folder, server]: [string, RedisServer | undefined] = ['', undefined];
afterEach(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(...names: string[]): Promise<RedisServer> {
  folder = mkdtempSync(join(tmpdir(), 'daypass-socket-'));
  server = await startRedisServer({ dataDir: join(folder, ...names) });
  return server;
}

async function answered(url: string): Promise<string> {
  const redis = moneyConnection(url);
  await whenReady(redis);
  try {
    return await redis.ping();
  } finally {
    redis.disconnect();
  }
}

describe('a Redis of our own', () => {
  it('is reached over a socket file, whatever its path looks like, and over TCP', async () => {
    const { url, localUrl } = await start('a b%20#?ü');
    expect(new URL(localUrl).protocol).toBe('unix:');
    expect(await Promise.all([url, localUrl].map(answered))).toEqual(['PONG', 'PONG']);
  });

  it('is reached over TCP where its path is longer than that of a socket may be', async () => {
    const { url, localUrl } = await start('x'.repeat(110));
    expect(localUrl).toBe(url);
    expect(await answered(localUrl)).toBe('PONG');
  });
});
