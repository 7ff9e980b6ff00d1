import { describe, expect, it } from '@jest/globals';
import { readRedisAddress } from './redis-address.js';

describe('an address of Redis', () => {
  it.each([
    ['redis://127.0.0.1:6380', { kind: 'server', host: '127.0.0.1', port: 6380, db: 0, tls: false }],
    [
      'rediss://user:p%40ss@redis.internal/2',
      { kind: 'server', host: 'redis.internal', port: 6379, db: 2, username: 'user', password: 'p@ss', tls: true },
    ],
    ['REDIS://:a@b@[::1]:6379/', { kind: 'server', host: '::1', port: 6379, db: 0, password: 'a@b', tls: false }],
    ['unix:///run/my%20redis.sock?db=2', { kind: 'socket', path: '/run/my redis.sock', db: 2, tls: false }],
    [
      'redis+sentinel://a:26380,b,[::1]:26381/my%20primary',
      {
        kind: 'sentinel',
        nodes: [
          { host: 'a', port: 26_380 },
          { host: 'b', port: 26_379 },
          { host: '::1', port: 26_381 },
        ],
        name: 'my primary',
        db: 0,
        tls: false,
      },
    ],
    [
      'rediss+sentinel://u:p@a/main/3?sentinel_username=s&sentinel_password=q%26',
      {
        kind: 'sentinel',
        nodes: [{ host: 'a', port: 26_379 }],
        name: 'main',
        db: 3,
        username: 'u',
        password: 'p',
        sentinelUsername: 's',
        sentinelPassword: 'q&',
        tls: true,
      },
    ],
    [
      'rediss+cluster://:p@a,b:7000',
      {
        kind: 'cluster',
        nodes: [
          { host: 'a', port: 6379 },
          { host: 'b', port: 7000 },
        ],
        password: 'p',
        tls: true,
      },
    ],
    ['redis+cluster://a/0', { kind: 'cluster', nodes: [{ host: 'a', port: 6379 }], tls: false }],
  ])('is read: %s', (url, address) => {
    expect(readRedisAddress(url)).toEqual(address);
  });

  it.each([
    ['secret', 'must be an address such as redis://127.0.0.1:6379'],
    ['http://secret', 'must be an address such as redis://127.0.0.1:6379'],
    ['localhost:6379', 'must be an address such as redis://127.0.0.1:6379'],
    ['redis://', 'must name each host'],
    ['redis://secret:70000', 'must name each host'],
    ['redis://secret:0', 'must name each host'],
    ['redis://a,secret', 'must name one host'],
    ['redis://a/secret', 'number of a database'],
    ['redis://:secret%@a', 'as %25'],
    ['unix://', 'must name the path of a socket'],
    ['redis+sentinel://secret:26379', 'must name the primary behind its hosts'],
    ['redis+sentinel://a/b/0/secret', 'must name the primary behind its hosts'],
    ['redis+sentinel://a/b/secret', 'number of a database'],
    ['redis+sentinel://a,,secret/b', 'must name each host'],
    ['redis+sentinel://a/b?secret=1', 'takes no parameters but sentinel_username and sentinel_password'],
    ['redis+cluster://a/1', 'must name no database'],
    ['redis+cluster://a?secret=1', 'must have no parameters'],
    [`redis+cluster://${Array(33).fill('secret').join()}`, 'must name at most 32 hosts'],
  ])('is refused, with what it must be, and without repeating it: %s', (url, message) => {
    expect(() => readRedisAddress(url)).toThrow(message);
    expect(() => readRedisAddress(url)).not.toThrow('secret');
  });
});
