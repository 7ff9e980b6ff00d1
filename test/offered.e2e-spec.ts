import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const alone = 'gpt-5.4';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

describe('an upstream that does not offer the API of a call', () => {
  let daypass: Daypass;
  let spare: Rehearsal;
  let client: OpenAI;
  let redis: Redis;
  const ask = (of: string) => client.chat.completions.create({ model: of, messages, max_tokens: 5 });
  const asked = () => [daypass.rehearsal.chatCalls().length, spare.chatCalls().length];

  beforeAll(async () => {
    spare = await Rehearsal.start();
    daypass = await startDaypass({
      config: {
        main: { endpoints: ['responses'] },
        lanes: { mini: { models: [model] }, alone: { models: [alone] } },
        upstreams: [{ name: 'spare', base_url: spare.url, keyless: true, lanes: { mini: {} }, endpoints: ['chat'] }],
      },
    });
    redis = new Redis(daypass.redisUrl);
    const campaign = { models: [model, alone], moderation: { input: 'off', output: 'off' } };
    const { key } = await daypass.createKey({ campaign });
    client = new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 2 });
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
    await spare?.stop();
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    spare.reset();
  });

  it('is passed over', async () => {
    await ask(model);
    expect(asked()).toEqual([0, 1]);
  });

  it('leaves a call without an upstream, which is refused before anything is held, and not sent again', async () => {
    const before = await redis.xinfo('STREAM', redisKeys.journal).catch(() => []);
    const error = await errorOf(ask(alone));
    expect(error).toMatchObject({ status: 404, code: 'endpoint_not_offered', param: 'model' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(error.message).toContain(`'${alone}' offers /v1/chat/completions`);
    const after = await redis.xinfo('STREAM', redisKeys.journal).catch(() => []);
    const added = (info: unknown[]): unknown => info[info.indexOf('entries-added') + 1];
    expect(added(after as unknown[])).toEqual(added(before as unknown[]));
    expect(asked()).toEqual([0, 0]);
  });

  it("and did not say so is the operator's trouble, and no visitor's", async () => {
    const error = { message: 'Not Found', type: 'NotFoundError' };
    spare.onChat = () => ({ refuse: { status: 404, error } });
    const refused = await errorOf(ask(model));
    expect(refused).toMatchObject({ status: 503, code: 'upstream_unavailable' });
    expect(refused.headers?.get('x-should-retry')).toBe('false');
    const metrics = await (await fetch(`${daypass.opsUrls.forwarding}/metrics`)).text();
    expect(metrics).toMatch(/daypass_account_trouble_total\{[^}]*upstream="spare"[^}]*\} 1/);
    spare.reset();
    await ask(model);
    expect(asked()).toEqual([0, 1]);
    await booksAtRest(daypass);
  });
});
