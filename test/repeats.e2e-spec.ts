import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest } from './at-rest.js';

const model = 'gpt-5.4-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'tell me' }];

interface Answer {
  requestId: string;
  cost: string | null;
  moderation: string | null;
  finish: (string | null)[];
  text: string;
}

/** A client that takes a blocked answer for a broken line sends its call again, at once. */
describe('the repeat of a call whose output was blocked', () => {
  let daypass: SharedDaypass;
  let redis: Redis;
  beforeAll(async () => {
    daypass = await shareDaypass();
    redis = new Redis(daypass.redisUrl);
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    daypass.rehearsal.onChat = () => ({ content: `Some words. ${FLAG}. More words.` });
  });

  const keyUnder = (moderation: object, limits?: object) =>
    daypass.createKey({ campaign: { moderation }, ...(limits ? { key: { limits } } : {}) });

  async function ask(token: string, more: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
    const client = new OpenAI({ apiKey: token, baseURL: daypass.baseUrl, maxRetries: 0 });
    const params = { model, messages, ...more } as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const { data, response } = await client.chat.completions.create(params, { headers }).withResponse();
    const chunks: { choices: { finish_reason: string | null }[] }[] = [];
    if (!(Symbol.asyncIterator in data)) chunks.push(data);
    else for await (const chunk of data as AsyncIterable<OpenAI.ChatCompletionChunk>) chunks.push(chunk);
    return {
      requestId: response.headers.get('x-request-id')!,
      cost: response.headers.get('x-daypass-cost-usd'),
      moderation: response.headers.get('x-daypass-moderation'),
      finish: chunks.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason)).filter(Boolean),
      text: JSON.stringify(chunks),
    };
  }

  it.each([
    ['whole', 'gate', false],
    ['streamed', 'gate', true],
    ['streamed', 'window', true],
    ['streamed', 'trail', true],
  ])('gets the same end, unsent and unbilled (%s, %s)', async (_, output, stream) => {
    const key = await keyUnder({ output });
    const first = await ask(key.key, { stream });
    const repeats = [await ask(key.key, { stream }), await ask(key.key, { stream })];
    for (const repeat of repeats) {
      expect(repeat).toMatchObject({ finish: ['content_filter'], cost: '0.00' });
      expect(repeat.moderation).toBe('input=pass; output=blocked');
      expect(repeat.text).not.toContain('words');
      expect(repeat.requestId).not.toBe(first.requestId);
    }
    expect(first.finish).toEqual(['content_filter']);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
    const calls = await booksAtRest(daypass);
    const ids = [first, ...repeats].map(({ requestId }) => requestId);
    expect(calls.filter(({ request_id: id }) => ids.includes(id)).map(({ request_id: id }) => id)).toEqual([ids[0]]);
    // The auditor finds each repeat at the first call.
    const { body } = await daypass.admin(`/admin/v1/requests/${first.requestId}`);
    const checks = body.checks as { guard: string; decision: string; reason: string | null }[];
    const recorded = checks.filter(({ guard }) => guard === 'repeat');
    expect(recorded.map(({ decision, reason }) => [decision, reason])).toEqual(
      repeats.map(({ requestId }) => ['blocked', `repeated by ${requestId}`]),
    );
  });

  it('is a call of its own for another key, another request, another policy, and after a minute', async () => {
    const key = await keyUnder({ output: 'gate' });
    const other = await keyUnder({ output: 'gate' });
    const observed = await keyUnder({ output: 'observe' });
    await ask(key.key);
    expect((await ask(other.key)).cost).not.toBe('0.00');
    expect((await ask(key.key, { temperature: 0.5 })).cost).not.toBe('0.00');
    expect((await ask(observed.key)).text).toContain('words');
    expect((await ask(observed.key)).text).toContain('words');
    const names = await redis.lrange(redisKeys.stoppedOfKey(key.id), 0, -1);
    expect(names).toHaveLength(2);
    for (const name of names) {
      const lifeMs = await redis.pttl(name);
      expect(lifeMs).toBeGreaterThan(30_000);
      expect(lifeMs).toBeLessThanOrEqual(60_000);
      await redis.del(name);
    }
    daypass.rehearsal.reset();
    daypass.rehearsal.onChat = () => ({ content: 'Other words.' });
    expect((await ask(key.key)).text).toContain('Other words');
  });

  it('is answered by its idempotency key first, which has the first cost', async () => {
    const key = await keyUnder({ output: 'gate' });
    const headers = { 'idempotency-key': 'one' };
    const first = await ask(key.key, {}, headers);
    const again = await ask(key.key, {}, headers);
    expect([again.requestId, again.cost]).toEqual([first.requestId, first.cost]);
    expect((await ask(key.key, {}, { 'idempotency-key': 'two' })).cost).toBe('0.00');
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
  });

  it("counts against the key's requests a minute, and is no strike", async () => {
    const key = await keyUnder({ output: 'gate', strikes: { suspend_after: 1 } }, { rpm: 3 });
    for (let call = 0; call < 3; call++) expect((await ask(key.key)).finish).toEqual(['content_filter']);
    await expect(ask(key.key)).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    await until('the key is at rest', async () => (await redis.hget(redisKeys.key(key.id), 'held')) === '0');
    expect(await redis.hmget(redisKeys.key(key.id), 'status', 'strike_times', 'running')).toEqual([
      'active',
      null,
      '0',
    ]);
  });

  it('is not kept where it stopped nothing, nor more than 32 of a key', async () => {
    const key = await keyUnder({ output: 'gate' });
    daypass.rehearsal.onChat = () => ({ content: 'Fine.' });
    await ask(key.key);
    expect(await redis.exists(redisKeys.stoppedOfKey(key.id))).toBe(0);
    daypass.rehearsal.onChat = () => ({ content: FLAG });
    const seeds = Array.from({ length: 34 }, (_, seed) => seed);
    await Promise.all(seeds.map((seed) => ask(key.key, { seed })));
    expect(await redis.llen(redisKeys.stoppedOfKey(key.id))).toBe(32);
    expect(await redis.keys(`${redisKeys.stoppedOfKey(key.id)}:*`)).toHaveLength(32);
  });

  describe('of Codex, which sends a call again after each HTTP error of a server', () => {
    const codexOf = async (override: object, headers: Record<string, string> = { originator: 'codex_cli_rs' }) => {
      daypass.rehearsal.onResponses = () => override;
      const key = await daypass.createKey();
      const response = await fetch(`${daypass.baseUrl}/responses`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ model, input: 'tell me', stream: true }),
      });
      const last = /data: (.*)\n\n$/.exec(await response.text())?.[1] ?? '{}';
      const { body: account } = await daypass.admin(`/admin/v1/keys/${key.id}`);
      const { type, response: end } = JSON.parse(last) as { type?: string; response?: { error: { code: string } } };
      return { status: response.status, type, code: end?.error.code, isCharged: account.spent_usd !== '0.00' };
    };

    it.each([
      ['broke off', { cutAfterEvents: 3 }],
      ['ended with an error', { errorAfterEvents: { events: 3, error: { code: 'server_error', message: 'Sorry.' } } }],
    ])('is told in the stream not to, where the answer %s and was charged', async (_, override) => {
      const told = { status: 200, type: 'response.failed', code: 'invalid_prompt', isCharged: true };
      expect(await codexOf(override)).toEqual(told);
      // Others read the status, and `x-should-retry`.
      expect(await codexOf(override, {})).toMatchObject({ status: 502, isCharged: true });
    });

    it('gets the HTTP error where nothing was charged, and another try may succeed', async () => {
      const refuse = { status: 500, error: { message: 'Sorry.', type: 'server_error', code: null } };
      expect(await codexOf({ refuse })).toMatchObject({ status: 502, isCharged: false });
    });
  });
});
