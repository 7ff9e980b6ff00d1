import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

describe('a service that dies', () => {
  let daypass: Daypass;
  let key: TestKey;
  let client: OpenAI;

  beforeAll(async () => {
    daypass = await startDaypass();
    key = await daypass.createKey({ campaign: { moderation: { input: 'gate', output: 'off' } } });
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const upstreamRuns = () => until('the call reaches the upstream', () => daypass.rehearsal.chatCalls().length > 0);

  it('while a call waits for its verdict (moderation, kill -9) is replaced, and the call is answered', async () => {
    let asked = 0;
    daypass.rehearsal.onModeration = async () => {
      if (++asked === 1) await sleep(60_000);
      return undefined;
    };
    const call = client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Judged once' }],
      max_tokens: 50,
    });
    await until('the call is judged', () => asked > 0);
    daypass.services.kill('moderation', 'SIGKILL');
    expect((await call).choices).toHaveLength(1);
    await booksAtRest(daypass);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
  });

  it('and takes what a visitor wrote with it (Redis) makes the SDK send it once more', async () => {
    let lost = 0;
    daypass.rehearsal.onModeration = async () => {
      const redis = new Redis(daypass.redisUrl);
      if (lost === 0) lost = await redis.del(...(await redis.keys(redisKeys.body('*'))));
      redis.disconnect();
      return undefined;
    };
    const patient = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 1 });
    const former = new Set((await booksAtRest(daypass)).map(({ request_id }) => request_id));
    expect(
      (
        await patient.chat.completions.create({
          model,
          messages: [{ role: 'user', content: 'Written once' }],
          max_tokens: 50,
        })
      ).choices,
    ).toHaveLength(1);
    expect(lost).toBe(1);
    const calls = (await booksAtRest(daypass)).filter(({ request_id }) => !former.has(request_id));
    expect(calls.map(({ kinds }) => kinds.join(' ')).toSorted()).toEqual(['hold post', 'hold void']);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
  });

  it('for a moment (Redis cuts every connection) leaves no hole in a stream', async () => {
    const words = Array.from({ length: 150 }, (_, index) => `w${index} `);
    daypass.rehearsal.onChat = () => ({ content: words.join(''), tokensPerSecond: 50 });
    const redis = new Redis(daypass.redisUrl);
    const texts = Promise.all(
      Array.from({ length: 5 }, async () => {
        let text = '';
        for await (const chunk of await client.chat.completions.create({
          model,
          messages,
          stream: true,
          max_tokens: 500,
        }))
          text += chunk.choices[0]?.delta.content ?? '';
        return text;
      }),
    );
    for (let cut = 0; cut < 3; cut++) {
      await sleep(600);
      await redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    }
    redis.disconnect();
    expect(await texts).toEqual(Array(5).fill(words.join('')));
    const calls = await booksAtRest(daypass);
    const cost = 150n * 4_500n;
    expect(
      calls.filter((call) => call.kinds.join() === 'hold,post' && call.paid > cost && call.paid < cost + 20_000n),
    ).toHaveLength(5);
  });

  it('in order (SIGTERM) ends its running call first', async () => {
    daypass.rehearsal.onChat = () => ({ firstTokenMs: 2_000, content: 'to the end' });
    const call = client.chat.completions.create({ model, messages, max_tokens: 50 });
    await upstreamRuns();
    await daypass.services.stop('forwarding');
    expect((await call).choices[0]?.message.content).toBe('to the end');
    await daypass.services.start('forwarding');
    await booksAtRest(daypass);
  });
});
