import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { sealOfFrame, type ReplyParts } from '#libs/contracts/reply.js';
import { moneyConnection, whenReady } from '#libs/redis/connection.js';
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

it('brings frames of a large answer in an entry each, between other commands, and tells their places', async () => {
  const box = new ContentBox(Buffer.alloc(32, 1));
  const connection = moneyConnection(redisUrl);
  try {
    await whenReady(connection);
    const channel = new ReplyChannel(connection, box);
    const frames = [0, 1, 2].map((n) => [Buffer.alloc(300_000, n), Buffer.from('ü'), Buffer.alloc(n && 200_000, 'x')]);
    const written = await Promise.all([
      connection.set('before', 'ü'),
      ...frames.map((frame, n) => channel.sendFrame('large', 'r', n, frame)),
      connection.get('before'),
    ]);
    const entries = await redis.xrangeBuffer(redisKeys.reply('large'), '-', '+');
    expect(written).toEqual(['OK', ...entries.map(([id]) => id.toString()), 'ü']);
    for (const [n, [, fields]] of entries.entries()) {
      const [id, requestId, number, index, name, sealed] = fields as Buffer[];
      expect([id, requestId, number, index, name].map(String)).toEqual(['id', 'r', 'n', String(n), 'frame']);
      expect(box.openBytes(sealed!, sealOfFrame('r', n)).equals(Buffer.concat(frames[n]!))).toBe(true);
    }
    expect(await redis.pttl(redisKeys.reply('large'))).toBeGreaterThan(0);
  } finally {
    connection.disconnect();
  }
});
