import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { FaultProxy } from './fault-proxy.js';
import { borrowRedis } from './borrowed.js';

describe('a fault proxy', () => {
  let proxy: FaultProxy;
  let through: Redis;
  let direct: Redis;
  beforeEach(async () => {
    const redisUrl = await borrowRedis();
    proxy = await FaultProxy.start(Number(new URL(redisUrl).port));
    direct = new Redis(redisUrl);
    through = new Redis(proxy.port, '127.0.0.1', {
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      commandTimeout: 500,
      retryStrategy: () => 50,
    });
    through.on('error', () => undefined);
    await through.set('x', '1');
  });
  afterEach(async () => {
    through.disconnect();
    direct.disconnect();
    await proxy.stop();
  });

  it('passes what is said, and cuts', async () => {
    expect(await through.get('x')).toBe('1');
    const closed = new Promise((resolve) => through.once('close', resolve));
    proxy.cut();
    await closed;
    await new Promise((resolve) => through.once('ready', resolve));
    expect(await through.get('x')).toBe('1');
  });

  it('refuses until it is healed', async () => {
    proxy.refuse();
    await expect(through.get('x')).rejects.toThrow();
    proxy.heal();
    await new Promise((resolve) => through.once('ready', resolve));
    expect(await through.get('x')).toBe('1');
  });

  it('swallows while it is frozen', async () => {
    proxy.freeze();
    await expect(through.set('x', '2')).rejects.toThrow('timed out');
    expect(await direct.get('x')).toBe('1');
    proxy.heal();
  });

  it('strands the connections that there are, and no others', async () => {
    proxy.strand();
    await expect(through.get('x')).rejects.toThrow('timed out');
    const another = new Redis(proxy.port, '127.0.0.1');
    expect(await another.get('x')).toBe('1');
    another.disconnect();
    proxy.cut();
    await new Promise((resolve) => through.once('ready', resolve));
  });

  it('lets one request through and drops its reply', async () => {
    const dropped = proxy.dropReplyTo('marker');
    await expect(through.set('x', 'marker')).rejects.toThrow();
    await dropped;
    expect(await direct.get('x')).toBe('marker');
  });

  it('delays', async () => {
    proxy.delay(60);
    const begun = performance.now();
    await through.get('x');
    expect(performance.now() - begun).toBeGreaterThan(110);
  });
});
