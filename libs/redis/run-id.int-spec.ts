import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { startRedisServer, type RedisServer } from '#libs/launch/redis-server.js';
import { FaultProxy } from '#libs/testing/fault-proxy.js';
import { until } from '#libs/testing/until.js';
import { moneyConnection, whenReady } from './connection.js';
import { RunId } from './run-id.js';

describe('the run of Redis', () => {
  let servers: RedisServer[];
  let proxy: FaultProxy;
  let redis: Redis;
  const portOf = (server: RedisServer): number => Number(new URL(server.url).port);
  beforeAll(async () => {
    servers = await Promise.all([startRedisServer(), startRedisServer()]);
    proxy = await FaultProxy.start(portOf(servers[0]!));
    redis = moneyConnection(`redis://127.0.0.1:${proxy.port}`);
    redis.on('error', () => undefined);
    await whenReady(redis);
  });
  afterAll(async () => {
    redis.disconnect();
    await proxy.stop();
    await Promise.all(servers.map((server) => server.stop()));
  });

  it('is another one, where a proxy put another server behind a connection that did not break', async () => {
    let closed = 0;
    redis.on('close', () => closed++);
    const run = RunId.of(redis);
    const first = await run.get();
    expect(first).toMatch(/^\w{40}$/);
    proxy.replaceServer(portOf(servers[1]!));
    await until('the other run is known', async () => (await run.get()) !== first);
    expect(await redis.info('server')).toContain(`run_id:${await run.get()}`);
    expect(closed).toBe(0);
  });
});
