import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { loadConfig } from '#libs/config/config.js';
import type { Reply } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, cancelledUpstream } from './at-rest.js';

const model = 'gpt-5.4-mini';
const answer = Array.from({ length: 60 }, (_, index) => `w${index} `).join('');

describe('a stream that is shown as it comes', () => {
  let daypass: SharedDaypass;
  let redis: Redis;
  let client: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    redis = new Redis(daypass.redisUrl);
    const key = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    daypass.rehearsal.onChat = () => ({ content: answer, tokensPerSecond: 40 });
  });

  /** What a worker whose write was repeated, or lost, would have put on the visitor's reply stream. */
  const slipIn = async (reply: Reply): Promise<void> => {
    const box = new ContentBox(loadConfig('ingress', daypass.env).secrets.contentKey);
    const running = await redis.zrange(redisKeys.leases, 0, -1);
    const keysOf = await Promise.all(running.map((id) => redis.hget(redisKeys.hold(id), 'key')));
    const requestId = running[keysOf.indexOf(daypass.keys[0]!.id)];
    const replyTo = await redis.hget(redisKeys.hold(requestId!), 'reply_to');
    await redis.xadd(
      redisKeys.reply(replyTo!),
      '*',
      'id',
      requestId!,
      'payload',
      box.seal(JSON.stringify(reply), requestId!),
    );
  };
  const frame = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'STRANGE' } }] })}\n\n`;
  const read = async (text: { seen: string }): Promise<void> => {
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'hi' }],
      stream: true,
    });
    for await (const chunk of stream) text.seen += chunk.choices[0]?.delta.content ?? '';
  };

  it('shows a frame once, though it was written twice', async () => {
    const text = { seen: '' };
    const done = read(text);
    await until('the stream is being shown', () => text.seen !== '');
    await slipIn({ type: 'frames', n: 0, text: frame });
    await done;
    expect(text.seen).toBe(answer);
    await booksAtRest(daypass);
  });

  it('ends with an error rather than with a hole, and cancels upstream', async () => {
    const text = { seen: '' };
    const done = read(text);
    await until('the stream is being shown', () => text.seen !== '');
    await slipIn({ type: 'frames', n: 100_000, text: frame });
    await expect(done).rejects.toThrow(/lost on its way/);
    expect(answer.startsWith(text.seen)).toBe(true);
    await cancelledUpstream(daypass);
    await booksAtRest(daypass);
  });
});
