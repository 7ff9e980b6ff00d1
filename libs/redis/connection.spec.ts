import { describe, expect, it } from '@jest/globals';
import { queueConnectionOptions, workerConnectionOptions } from './connection.js';
import { moneySlot, redisKeys } from './keys.js';

describe('what BullMQ connects to', () => {
  it.each([
    ['redis://127.0.0.1:6380', { host: '127.0.0.1', port: 6380 }],
    ['redis://redis', { host: 'redis', port: 6379 }],
    ['redis://user:p%40ss@redis:6379/2', { host: 'redis', username: 'user', password: 'p@ss', db: 2 }],
    ['redis://:secret@redis', { password: 'secret' }],
    ['rediss://redis:6380', { host: 'redis', port: 6380, tls: {} }],
    ['redis://[::1]:6379', { host: '::1', port: 6379 }],
    [
      'rediss+sentinel://:secret@a,b:26380/main/2?sentinel_password=other',
      {
        sentinels: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 26_380 },
        ],
        name: 'main',
        password: 'secret',
        sentinelPassword: 'other',
        db: 2,
        tls: {},
        sentinelTLS: {},
        enableTLSForSentinelMode: true,
      },
    ],
    ['rediss+cluster://user:secret@a,b', { username: 'user', password: 'secret', tls: {} }],
    ['unix:///run/my%20redis.sock', { path: '/run/my redis.sock' }],
    ['unix://:secret@localhost/run/redis.sock?db=2', { path: '/run/redis.sock', password: 'secret', db: 2 }],
  ])('is what %s names', (url, options) => {
    expect(workerConnectionOptions(url)).toMatchObject(options);
    expect(queueConnectionOptions(url)).toMatchObject(options);
  });

  it('has no user, password, database or TLS that the address does not name', () => {
    expect(Object.keys(workerConnectionOptions('redis://redis')).sort()).toEqual([
      'Connector',
      'host',
      'maxLoadingRetryTime',
      'maxRetriesPerRequest',
      'port',
      'reconnectOnError',
      'retryStrategy',
      'socketTimeout',
    ]);
  });

  it('lets workers wait for Redis, and tells who enqueues at once that it is away', () => {
    expect(workerConnectionOptions('redis://redis').maxRetriesPerRequest).toBeNull();
    expect(queueConnectionOptions('redis://redis')).toMatchObject({
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
    });
  });
});

describe('key names', () => {
  it('all lie in one slot, or no script could move money at every level at once', () => {
    const names = Object.values(redisKeys).map((name) => (typeof name === 'string' ? name : name('x', 'y')));
    expect(names.every((name) => name.startsWith('{dp}:'))).toBe(true);
    expect(new Set(names).size).toBe(names.length);
  });

  it('differ by account in the hash tag alone', () => {
    expect([moneySlot(''), moneySlot('north')]).toEqual(['{dp}', '{dp:north}']);
  });
});
