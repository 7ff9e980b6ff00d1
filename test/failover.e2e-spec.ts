import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];
const broken = { refuse: { status: 500, error: { message: 'The server had an error' } } };
const outOfMoney = {
  refuse: { status: 429, error: { message: 'You exceeded your quota', code: 'insufficient_quota' } },
};

describe('two upstreams', () => {
  let daypass: Daypass;
  let spare: Rehearsal;
  let client: OpenAI;
  let keyId: string;
  let campaign: string;
  let redis: Redis;
  const ask = (wait = '10000', of = model) =>
    client.chat.completions
      .create({ model: of, messages, max_tokens: 5 }, { headers: { 'x-daypass-max-wait-ms': wait } })
      .withResponse();
  const lane = async () =>
    (await daypass.admin('/admin/v1/lanes')).body.data.find((one: { lane: string }) => one.lane === 'mini');
  const asked = () => [daypass.rehearsal.chatCalls().length, spare.chatCalls().length];

  beforeAll(async () => {
    spare = await Rehearsal.start();
    daypass = await startDaypass({
      config: {
        lanes: { mini: { rpm: 600, models: [model] }, alone: { models: ['gpt-5.4'] } },
        upstreams: [
          {
            name: 'spare',
            base_url: spare.url,
            lanes: { mini: { rpm: 600 } },
            models: { [model]: 'mini-of-another-name' },
          },
        ],
      },
      env: { DAYPASS_UPSTREAM_KEYS: 'spare=sk-spare' },
    });
    redis = new Redis(daypass.redisUrl);
    const key = await daypass.createKey({
      campaign: { models: [model, 'gpt-5.4'], moderation: { input: 'off', output: 'off' } },
    });
    keyId = key.id;
    campaign = key.campaign;
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
    await spare?.stop();
  });
  beforeEach(async () => {
    daypass.rehearsal.reset();
    spare.reset();
    // What failed before is forgotten, and no upstream rests.
    const slots = ['mini', 'mini@spare', 'alone'].map((slot) => redisKeys.laneWindow(slot));
    await redis.del(redisKeys.circuit('openai'), redisKeys.circuit('spare'), ...slots);
  });

  it('are taken in their order', async () => {
    await ask();
    expect(asked()).toEqual([1, 0]);
  });

  it("go on with the second where the first is out of money, unseen by the visitor; that is the operator's alarm, and each is owed its own", async () => {
    daypass.rehearsal.onChat = () => outOfMoney;
    spare.onChat = () => ({ content: 'from the spare one' });
    const { data, response } = await ask();
    expect(data.choices[0]?.message.content).toBe('from the spare one');
    expect(spare.chatCalls()[0]).toMatchObject({
      body: { model: 'mini-of-another-name' },
      headers: { authorization: 'Bearer sk-spare' },
    });
    // It is left alone now, without a further try.
    await ask();
    expect(asked()).toEqual([1, 2]);
    expect((await lane()).upstreams).toMatchObject([
      { upstream: 'openai', left_alone: { why: 'account' }, failures_in_a_row: 1 },
      { upstream: 'spare', left_alone: null },
    ]);
    const metrics = await (await fetch(`${daypass.opsUrls.forwarding}/metrics`)).text();
    expect(metrics).toMatch(/daypass_account_trouble_total\{[^}]*upstream="openai"[^}]*\} 1/);
    await booksAtRest(daypass);
    const { body } = await daypass.admin(`/admin/v1/keys/${keyId}/transfers`);
    const post = body.data.find(
      (one: { kind: string; request_id: string }) =>
        one.kind === 'post' && one.request_id === response.headers.get('x-request-id'),
    );
    expect(post.detail).toMatchObject({ upstream: 'spare', attempt: 2 });
    expect(post.entries.map(({ account }: { account: string }) => account)).toContain('upstream:spare');
  });

  it('go on with the second where the first fails before it did anything', async () => {
    daypass.rehearsal.onChat = () => broken;
    await ask();
    expect(asked()).toEqual([1, 1]);
  });

  it('tell the visitor of a failure only after three tries, each later than the one before', async () => {
    daypass.rehearsal.onChat = () => broken;
    spare.onChat = () => broken;
    const begun = Date.now();
    const error = await errorOf(ask());
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.headers?.get('x-should-retry')).toBe('true');
    expect(asked()[0]! + asked()[1]!).toBe(3);
    // It may wait for half a minute.
    expect(Date.now() - begun).toBeLessThan(15_000);
    const calls = await booksAtRest(daypass);
    expect(calls.find(({ request_id }) => request_id === error.headers?.get('x-request-id'))).toMatchObject({
      kinds: ['hold', 'void'],
      paid: 0n,
    });
  });

  it('do not try again what there is no time for', async () => {
    daypass.rehearsal.onChat = () => broken;
    spare.onChat = () => broken;
    expect(await errorOf(ask('0'))).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(asked()).toEqual([1, 0]);
  });

  it('where both refuse the account, are not asked for each call, and the visitor hears so at once', async () => {
    daypass.rehearsal.onChat = () => outOfMoney;
    spare.onChat = () => outOfMoney;
    expect(await errorOf(ask())).toMatchObject({ status: 503, code: 'upstream_unavailable' });
    const begun = Date.now();
    expect(await errorOf(ask())).toMatchObject({ status: 503, code: 'upstream_unavailable' });
    expect(Date.now() - begun).toBeLessThan(15_000);
    expect(asked()).toEqual([1, 1]);
  });

  it('where the only one of a lane fails for several keys, it is left alone; a call that has the time waits until it is well', async () => {
    const alone = async () =>
      (await daypass.admin('/admin/v1/lanes')).body.data.find((one: { lane: string }) => one.lane === 'alone');
    let well = false;
    daypass.rehearsal.onChat = () => (well ? undefined : broken);
    for (let n = 0; n < 4; n++)
      expect(await errorOf(ask('10000', 'gpt-5.4'))).toMatchObject({ code: 'upstream_error' });
    // One visitor's requests alone prove nothing.
    expect(asked()[0]).toBe(12);
    expect((await alone()).upstreams).toMatchObject([{ left_alone: null, failures_in_a_row: 2 }]);
    for (let n = 0; n < 2; n++) {
      const { key } = await daypass.createKey({ campaign });
      const another = new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
      const call = another.chat.completions.create({ model: 'gpt-5.4', messages, max_tokens: 5 });
      expect(await errorOf(call)).toMatchObject({ code: 'upstream_error' });
    }
    expect((await alone()).upstreams[0].failures_in_a_row).toBeGreaterThanOrEqual(5);
    const waiting = Promise.all([ask('20000', 'gpt-5.4'), ask('20000', 'gpt-5.4'), ask('20000', 'gpt-5.4')]);
    await sleep(50);
    well = true;
    const answers = await waiting;
    expect(answers.map(({ response }) => response.status)).toEqual([200, 200, 200]);
    expect((await alone()).upstreams).toMatchObject([{ upstream: 'openai', left_alone: null, failures_in_a_row: 0 }]);
  });
});
