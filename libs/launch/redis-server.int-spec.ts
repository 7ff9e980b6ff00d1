import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { memoryUse, moneyConnection, whenReady } from '#libs/redis/connection.js';
import { startRedisServer, type RedisServer, type RedisServerOptions } from './redis-server.js';

let [folder, server]: [string, RedisServer | undefined] = ['', undefined];
afterEach(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(name: string, options: RedisServerOptions = {}): Promise<RedisServer> {
  folder = mkdtempSync(join(tmpdir(), 'daypass-socket-'));
  server = await startRedisServer({ ...options, dataDir: join(folder, name) });
  return server;
}

/** The TCP ports that the process of this Redis listens on, on any address. */
function portsOf(name: string): string[] {
  const pid = readFileSync(join(folder, name, 'redis.pid'), 'utf8').trim();
  const inodes = [
    ...execFileSync('ls', ['-l', `/proc/${pid}/fd`], { encoding: 'utf8' }).matchAll(/socket:\[(\d+)/g),
  ].map(([, inode]) => inode);
  return ['tcp', 'tcp6']
    .flatMap((file) => readFileSync(`/proc/net/${file}`, 'utf8').trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && inodes.includes(inode!))
    .map(([, address]) => address!);
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

describe('a Redis for its owner only', () => {
  it('listens on no port, and its socket is closed to others, also in a folder that was open', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'daypass-open-'));
    try {
      const dataDir = join(parent, 'redis');
      mkdirSync(dataDir);
      chmodSync(dataDir, 0o777);
      folder = parent;
      server = await startRedisServer({ dataDir, ownerOnly: true });
      expect(server.url).toBe(server.localUrl);
      expect(await answered(server.url)).toBe('PONG');
      expect(portsOf('redis')).toEqual([]);
      const socket = new URL(server.url).pathname;
      expect([socket, dirname(socket)].map((path) => statSync(path).mode & 0o077)).toEqual([0, 0]);
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  });

  it('has a password where its path is too long for a socket, which no command line shows', async () => {
    const name = 'x'.repeat(110);
    const { url } = await start(name, { ownerOnly: true });
    expect(portsOf(name)).toHaveLength(1);
    expect(await answered(url)).toBe('PONG');
    const stranger = new URL(url);
    const { password } = stranger;
    stranger.password = '';
    const redis = new Redis(stranger.href, { lazyConnect: true, enableReadyCheck: false });
    await expect(redis.ping().finally(() => redis.disconnect())).rejects.toThrow('NOAUTH');
    const pid = readFileSync(join(folder, name, 'redis.pid'), 'utf8').trim();
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(password);
    expect(statSync(join(folder, name, 'redis.conf')).mode & 0o077).toBe(0);
  });

  it('refuses data above its memory, and evicts none', async () => {
    const { url } = await start('redis', { ownerOnly: true, maxMemory: '3mb' });
    const redis = moneyConnection(url);
    await whenReady(redis);
    try {
      await redis.set('kept', 'here');
      const filling = async (): Promise<void> => {
        for (let n = 0; n < 100; n++) await redis.set(`more:${n}`, 'x'.repeat(100_000));
      };
      await expect(filling()).rejects.toThrow('OOM command not allowed');
      expect(await redis.get('kept')).toBe('here');
      expect(await memoryUse(redis)).toEqual({ usedBytes: expect.any(Number), maxBytes: 3 * 2 ** 20 });
      expect((await memoryUse(redis)).usedBytes).toBeGreaterThan(2 * 2 ** 20);
    } finally {
      redis.disconnect();
    }
  });
});
