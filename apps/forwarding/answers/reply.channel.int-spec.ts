import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { ReplyParts } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { ReplyChannel } from './reply.channel.js';

let redisUrl: string;
let redis: Redis;
beforeAll(async () => {
  redisUrl = await borrowRedis();
  redis = new Redis(redisUrl);
});
afterAll(async () => {
  redis.disconnect();
});

it('brings what calls say within one turn to each ingress in one entry, in its order, encrypted for it alone, on a stream that ends by itself', async () => {
  const box = new ContentBox(Buffer.alloc(32, 1));
  const channel = new ReplyChannel(redis, box);
  const part = (n: number): ReplyParts[number] => ({ id: `r${n}`, reply: { type: 'frames', n, text: `secret ${n}` } });
  await Promise.all(
    [1, 2, 3, 4]
      .map(part)
      .map(({ id, reply }, index) => channel.send({ replyTo: index % 2 ? 'even' : 'odd', requestId: id, reply })),
  );
  const entries = await redis.xrangeBuffer(redisKeys.reply('odd'), '-', '+');
  expect(entries).toHaveLength(1);
  const [name, encrypted] = entries[0]![1] as [Buffer, Buffer];
  expect([name.toString(), encrypted.includes('secret')]).toEqual(['parts', false]);
  expect(JSON.parse(box.open(encrypted, 'odd'))).toEqual([part(1), part(3)]);
  expect(() => box.open(encrypted, 'even')).toThrow();
  expect(await redis.xlen(redisKeys.reply('even'))).toBe(1);
  expect(await redis.pttl(redisKeys.reply('odd'))).toBeGreaterThan(0);
});
