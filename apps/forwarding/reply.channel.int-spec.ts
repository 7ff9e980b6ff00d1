import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { startTestRedis, type TestRedis } from '#libs/testing/stores.js';
import { ReplyChannel } from './reply.channel.js';

let store: TestRedis;
let redis: Redis;
beforeAll(async () => {
  store = await startTestRedis();
  redis = new Redis(store.redisUrl);
});
afterAll(async () => {
  redis.disconnect();
  await store.stop();
});

it('brings what calls say within one turn to each ingress in one entry, in its order, on a stream that ends by itself', async () => {
  const channel = new ReplyChannel(redis);
  const said = [1, 2, 3, 4].map((n) => ({ replyTo: n % 2 ? 'odd' : 'even', requestId: `r${n}`, payload: Buffer.from(`p${n}`) }));
  await Promise.all(said.map((part) => channel.send(part)));
  const entries = await redis.xrange(redisKeys.reply('odd'), '-', '+');
  expect(entries.map(([, fields]) => fields)).toEqual([['id', 'r1', 'payload', 'p1', 'id', 'r3', 'payload', 'p3']]);
  expect(await redis.xlen(redisKeys.reply('even'))).toBe(1);
  expect(await redis.pttl(redisKeys.reply('odd'))).toBeGreaterThan(0);
});
