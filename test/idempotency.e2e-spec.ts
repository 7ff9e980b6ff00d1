import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { SERVICES } from '#libs/config/config.js';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, cancelledUpstream, errorOf, LONG } from './at-rest.js';

const model = 'gpt-5.4-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';
const DAY_MS = 24 * 3_600_000;
const say = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: 'user', content }];
const named = (name: string, more: Record<string, string> = {}) => ({ headers: { 'idempotency-key': name, ...more } });

describe('a call with an Idempotency-Key', () => {
  let daypass: Daypass;
  let redis: Redis;
  let key: TestKey;
  let client: OpenAI;
  let requests: number;
  const clientOf = (whose: TestKey, maxRetries = 2): OpenAI =>
    new OpenAI({
      apiKey: whose.key,
      baseURL: daypass.baseUrl,
      maxRetries,
      fetch: (...args: Parameters<typeof fetch>) => {
        requests++;
        return fetch(...args);
      },
    });
  const upstreamCalls = (): number => daypass.rehearsal.chatCalls().length;
  /** The answer as it came over the wire. */
  const post = async (body: object, name: string, headers: Record<string, string> = {}, whose = key) => {
    const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${whose.key}`,
        'content-type': 'application/json',
        'idempotency-key': name,
        ...headers,
      },
      body: JSON.stringify(body),
    });
    const header = (wanted: string): string | null => response.headers.get(wanted);
    return {
      status: response.status,
      id: header('x-request-id'),
      replayed: header('idempotent-replayed'),
      header,
      text: await response.text(),
    };
  };
  const paidFor = async (requestId: string | null): Promise<bigint | undefined> =>
    (await booksAtRest(daypass)).find((call) => call.request_id === requestId)?.paid;

  beforeAll(async () => {
    daypass = await startDaypass({ env: { DAYPASS_MODERATION_TIMEOUT_MS: '5000' } });
    redis = new Redis(daypass.redisUrl);
    key = await daypass.createKey();
    client = clientOf(key);
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    requests = 0;
  });

  it('gets its first answer again, to the letter, for one upstream call and one bill', async () => {
    const body = { model, messages: say('once, please') };
    const first = await post(body, 'json');
    const again = await post(body, 'json');
    expect(first).toMatchObject({ status: 200, replayed: null });
    expect(again).toMatchObject({ status: 200, replayed: 'true', id: first.id, text: first.text });
    for (const name of [
      'content-type',
      'x-daypass-cost-usd',
      'x-daypass-moderation',
      'x-daypass-queue-ms',
      'x-daypass-available-usd',
    ])
      expect([name, again.header(name)]).toEqual([name, first.header(name)]);
    expect(upstreamCalls()).toBe(1);
    const metrics = await (await fetch(`${daypass.opsUrls.ingress}/metrics`)).text();
    expect(metrics).toMatch(/daypass_replays_total\{[^}]*\} 1\n/);
    const shown = await daypass.admin(`/admin/v1/keys/${key.id}`);
    expect(shown.body.spent_usd).toBe(first.header('x-daypass-cost-usd'));
    expect(await paidFor(first.id)).toBe(BigInt(Math.round(Number(first.header('x-daypass-cost-usd')) * 1e9)));
  });

  it.each(['gate', 'observe', 'off'])('gets the whole stream again (output moderation %s)', async (output) => {
    const streaming = await daypass.createKey({ campaign: { moderation: { input: 'off', output } } });
    daypass.rehearsal.onChat = () => ({ content: 'one two three four five', tokensPerSecond: 100 });
    const body = { model, messages: say('hi'), stream: true, stream_options: { include_usage: true } };
    const first = await post(body, 'stream', {}, streaming);
    const again = await post(body, 'stream', {}, streaming);
    expect(first.text).toMatch(/data: \[DONE\]\n\n$/);
    expect(again).toMatchObject({ status: 200, replayed: 'true', id: first.id, text: first.text });
    for (const name of ['content-type', 'cache-control', 'x-daypass-moderation'])
      expect([name, again.header(name)]).toEqual([name, first.header(name)]);
    let text = '';
    for await (const chunk of await clientOf(streaming).chat.completions.create(
      { model, messages: say('hi'), stream: true, stream_options: { include_usage: true } },
      named('stream'),
    ))
      text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('one two three four five');
    expect(upstreamCalls()).toBe(1);
    expect(await paidFor(first.id)).toBeGreaterThan(0n);
  });

  it('counts as a request, and says what is left', async () => {
    const limited = await daypass.createKey({ key: { limits: { rpm: 100 } } });
    const left: (string | null)[] = [];
    for (let n = 0; n < 3; n++) {
      const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${limited.key}`,
          'content-type': 'application/json',
          'idempotency-key': 'count me',
        },
        body: JSON.stringify({ model, messages: say('count me') }),
      });
      await response.text();
      left.push(response.headers.get('x-ratelimit-remaining-requests'));
    }
    expect(left).toEqual(['99', '98', '97']);
  });

  it('gets the answer again that moderation took away, and nothing of what was in it', async () => {
    daypass.rehearsal.onChat = () => ({ content: `hidden words ${FLAG}` });
    const body = { model, messages: say('hi'), stream: true };
    const first = await post(body, 'blocked output');
    const again = await post(body, 'blocked output');
    expect(again).toMatchObject({ replayed: 'true', text: first.text, id: first.id });
    expect(first.text).toContain('content_filter');
    expect(first.text).not.toContain('hidden');
    expect(upstreamCalls()).toBe(1);
  });

  it('and another body, or another wish for moderation, is refused by name, and not tried again', async () => {
    await post({ model, messages: say('one') }, 'reused');
    for (const [content, headers] of [
      ['two', {}],
      ['one', { 'x-daypass-moderate-input': 'true' }],
    ] as const) {
      const error = await errorOf(
        client.chat.completions.create({ model, messages: say(content) }, named('reused', headers)),
      );
      expect(error).toBeInstanceOf(OpenAI.ConflictError);
      expect(error).toMatchObject({ status: 409, code: 'idempotency_conflict', param: 'idempotency-key' });
      expect(error.message).toMatch(/another request/);
      expect(error.headers?.get('x-should-retry')).toBe('false');
    }
    expect({ requests, upstream: upstreamCalls() }).toEqual({ requests: 2, upstream: 1 });
  });

  it('whose first call still runs is asked to come again, as the official client does by itself', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'late', firstTokenMs: 1_500 });
    const body = { model, messages: say('slow') };
    const first = post(body, 'running');
    await until('the call reaches the upstream', () => upstreamCalls() > 0);
    const early = await post(body, 'running');
    expect(early.status).toBe(409);
    expect(JSON.parse(early.text)).toMatchObject({
      error: { code: 'idempotency_in_progress', param: 'idempotency-key' },
    });
    expect(early.header('x-should-retry')).toBe('true');
    expect(Number(early.header('retry-after-ms'))).toBeGreaterThan(0);
    const { data, response } = await client.chat.completions.create(body, named('running')).withResponse();
    expect(data.choices[0]?.message.content).toBe('late');
    expect(response.headers.get('x-request-id')).toBe((await first).id);
    expect(requests).toBeGreaterThan(1);
    expect(upstreamCalls()).toBe(1);
  });

  it('500 times at once makes one upstream call, and everybody who asks on gets its answer', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'for all', firstTokenMs: 300 });
    const crowd = clientOf(key, 8);
    const body = { model, messages: say('all at once') };
    const answers = await Promise.all(
      Array.from({ length: 500 }, () => crowd.chat.completions.create(body, named('crowd')).withResponse()),
    );
    expect(new Set(answers.map(({ data }) => data.choices[0]?.message.content))).toEqual(new Set(['for all']));
    expect(new Set(answers.map(({ response }) => response.headers.get('x-request-id'))).size).toBe(1);
    expect(answers.filter(({ response }) => response.headers.get('idempotent-replayed') === null)).toHaveLength(1);
    expect(upstreamCalls()).toBe(1);
    await booksAtRest(daypass);
  });

  it('is judged once: a blocked prompt is refused again without a second strike', async () => {
    const judged = await daypass.createKey();
    const body = { model, messages: say(FLAG) };
    const first = await post(body, 'flagged', {}, judged);
    const again = await post(body, 'flagged', {}, judged);
    expect(JSON.parse(first.text)).toMatchObject({ error: { code: 'moderation_blocked' } });
    expect(again).toMatchObject({ status: 400, replayed: 'true', text: first.text, id: first.id });
    expect(again.header('x-should-retry')).toBe('false');
    expect(daypass.rehearsal.moderationCalls()).toHaveLength(1);
    const shown = await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${judged.key}` } });
    expect(await shown.json()).toMatchObject({ data: { strikes: 1, spent_usd: '0.00' } });
    expect(upstreamCalls()).toBe(0);
  });

  it.each([
    ['three failures of the upstream (502)', { status: 500, error: { message: 'The server had an error' } }],
    [
      'trouble with the account (503), once it is mended',
      { status: 401, error: { message: 'bad key', code: 'invalid_api_key' } },
    ],
  ])('is a new call after %s', async (_, refuse) => {
    daypass.rehearsal.onChat = () => ({ refuse });
    const failed = await errorOf(
      clientOf(key, 0).chat.completions.create({ model, messages: say('again') }, named(`after ${refuse.status}`)),
    );
    expect(failed.status).toBeGreaterThanOrEqual(502);
    const tries = upstreamCalls();
    daypass.rehearsal.onChat = undefined;
    const { response } = await clientOf(key, 0)
      .chat.completions.create({ model, messages: say('again') }, named(`after ${refuse.status}`))
      .withResponse();
    expect(response.headers.get('idempotent-replayed')).toBeNull();
    expect([tries, upstreamCalls()]).toEqual(refuse.status === 500 ? [3, 4] : [1, 2]);
  });

  it('is tried again by the official client itself after an error that asks for it, and billed once', async () => {
    const fresh = await daypass.createKey();
    daypass.rehearsal.onChat = () =>
      upstreamCalls() <= 3 ? { refuse: { status: 500, error: { message: 'thrice' } } } : { content: 'then' };
    const { data, response } = await clientOf(fresh)
      .chat.completions.create({ model, messages: say('hi') }, named('sdk'))
      .withResponse();
    expect(data.choices[0]?.message.content).toBe('then');
    expect({ requests, upstream: upstreamCalls() }).toEqual({ requests: 2, upstream: 4 });
    const shown = await daypass.admin(`/admin/v1/keys/${fresh.id}`);
    expect(shown.body.spent_usd).toBe(response.headers.get('x-daypass-cost-usd'));
  });

  it('is a new call after moderation was down (503), and after the money was short (429)', async () => {
    daypass.rehearsal.onModeration = () => ({ status: 500, error: { message: 'down' } });
    expect(
      await errorOf(
        clientOf(key, 0).chat.completions.create({ model, messages: say('never judged before') }, named('down')),
      ),
    ).toMatchObject({
      code: 'moderation_unavailable',
    });
    daypass.rehearsal.onModeration = undefined;
    expect(
      (await client.chat.completions.create({ model, messages: say('never judged before') }, named('down'))).choices,
    ).toHaveLength(1);

    const poor = await daypass.createKey({ key: { budget_usd: '0.000001' } });
    expect(
      await errorOf(clientOf(poor).chat.completions.create({ model, messages: say('hi') }, named('poor'))),
    ).toMatchObject({ code: 'insufficient_quota' });
    const funded = await daypass.admin(`/admin/v1/keys/${poor.id}`, { method: 'PATCH', body: { budget_usd: '1.00' } });
    expect(funded.status).toBe(200);
    expect(
      (await clientOf(poor).chat.completions.create({ model, messages: say('hi') }, named('poor'))).choices,
    ).toHaveLength(1);
  });

  it('is not refused for ever when its key was suspended meanwhile and is reinstated', async () => {
    const watched = await daypass.createKey();
    let asked = 0;
    daypass.rehearsal.onChat = () =>
      ++asked === 1
        ? {
            refuse: {
              status: 429,
              headers: { 'retry-after-ms': '1500' },
              error: { message: 'slow down', code: 'rate_limit_exceeded' },
            },
          }
        : undefined;
    const waiting = errorOf(
      clientOf(watched).chat.completions.create({ model, messages: say('hi') }, named('suspended')),
    );
    await until('the call reaches the upstream', () => asked > 0);
    await daypass.admin(`/admin/v1/keys/${watched.id}/suspend`, { body: { note: 'looking' } });
    expect(await waiting).toMatchObject({ status: 403, code: 'key_suspended' });
    await daypass.admin(`/admin/v1/keys/${watched.id}/reinstate`, { body: { note: 'fine' } });
    expect(
      (await clientOf(watched).chat.completions.create({ model, messages: say('hi') }, named('suspended'))).choices,
    ).toHaveLength(1);
  });

  it('whose visitor hung up in mid-stream is not run again: the answer that was paid for broke off', async () => {
    const streaming = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
    daypass.rehearsal.onChat = () => ({ content: LONG, tokensPerSecond: 100 });
    const stream = await clientOf(streaming).chat.completions.create(
      { model, messages: say('long'), stream: true },
      named('broken off'),
    );
    let seen = 0;
    for await (const _ of stream) if (++seen === 10) break;
    await cancelledUpstream(daypass);
    await booksAtRest(daypass);
    requests = 0;
    const error = await errorOf(
      clientOf(streaming).chat.completions.create({ model, messages: say('long'), stream: true }, named('broken off')),
    );
    expect(error).toMatchObject({
      status: 409,
      code: 'idempotency_conflict',
      message: expect.stringMatching(/broke off.*new key/),
    });
    expect({ requests, upstream: upstreamCalls() }).toEqual({ requests: 1, upstream: 1 });
  });

  it('whose outcome is unknown is told so again, and not sent again', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'word '.repeat(50), cutAfterFrames: 10 });
    const body = { model, messages: say('cut'), stream: true };
    const first = await post(body, 'unknown');
    const again = await post(body, 'unknown');
    expect(JSON.parse(first.text)).toMatchObject({ error: { code: 'upstream_outcome_unknown' } });
    expect(again).toMatchObject({ status: 502, replayed: 'true', text: first.text });
    expect(upstreamCalls()).toBe(1);
  });

  it("is its own key's: the same name of another one is another call", async () => {
    const other = await daypass.createKey({ campaign: key.campaign });
    const body = { model, messages: say('mine') };
    const mine = await post(body, 'shared name');
    const theirs = await post(body, 'shared name', {}, other);
    expect(theirs).toMatchObject({ status: 200, replayed: null });
    expect(theirs.id).not.toBe(mine.id);
    expect(upstreamCalls()).toBe(2);
  });

  it("gets its answer again though the key's money is used up, within the key's limits", async () => {
    const small = await daypass.createKey({ key: { budget_usd: '0.0008', limits: { rpm: 2 } } });
    daypass.rehearsal.onChat = () => ({ content: 'dear', usage: { prompt_tokens: 50, completion_tokens: 150 } });
    const body = { model, messages: say('hi'), max_tokens: 150 };
    const first = await post(body, 'kept', {}, small);
    expect(first.status).toBe(200);
    expect(await post(body, 'kept', {}, small)).toMatchObject({ status: 200, text: first.text, replayed: 'true' });
    const refused = await post(body, 'kept', {}, small);
    expect(JSON.parse(refused.text)).toMatchObject({
      error: { code: 'rate_limit_exceeded', daypass: { limit: 'rpm' } },
    });
    expect(Number(refused.header('retry-after'))).toBeGreaterThan(0);
    expect(upstreamCalls()).toBe(1);
  });

  it.each([
    ['empty', ''],
    ['too long', 'x'.repeat(256)],
    ['not ASCII', 'schl\u00fcssel'],
  ])('whose name is %s is refused', async (_, name) => {
    const answer = await post({ model, messages: say('hi') }, name);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'invalid_request', param: 'idempotency-key' } });
  });

  it('and a body of 100,000 levels gets the same 400 as without it', async () => {
    const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', 'idempotency-key': 'deep' },
      body: `{"model":"${model}","messages":[],"metadata":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    });
    expect(response.status).toBe(400);
  });

  it('has its answer kept for a day, encrypted: nothing in Redis can be read, not even its name', async () => {
    const before = new Set(await redis.keys('{dp}:idempotency:*'));
    daypass.rehearsal.onChat = () => ({ content: 'MARKER-ANSWER and more', firstTokenMs: 300 });
    const first = post({ model, messages: say('MARKER-PROMPT') }, 'MARKER-NAME');
    await until('the call reaches the upstream', () => upstreamCalls() > 0);
    const whileRunning = await dump(redis);
    await first;
    const afterwards = await dump(redis);
    const [record, ...others] = (await redis.keys('{dp}:idempotency:*')).filter((name) => !before.has(name));
    expect(others).toEqual([]);
    expect(await redis.hget(record!, 'state')).toBe('answered');
    const lifeMs = await redis.pttl(record!);
    expect(lifeMs).toBeGreaterThan(DAY_MS - 60_000);
    expect(lifeMs).toBeLessThanOrEqual(DAY_MS);
    for (const content of [whileRunning, afterwards]) {
      expect(content).toContain(record);
      expect(content).not.toMatch(/MARKER/);
    }
    for (const service of SERVICES) expect(daypass.logs(service)).not.toMatch(/MARKER/);
  });

  it('gets the answer of its first call, though the ingress was killed while it ran (kill -9): the official client comes again', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'survived', firstTokenMs: 3_000 });
    const answer = clientOf(key, 10).chat.completions.create(
      { model, messages: say('hold on') },
      named('ingress killed'),
    );
    await until('the call reaches the upstream', () => upstreamCalls() > 0);
    daypass.services.kill('ingress', 'SIGKILL');
    expect((await answer).choices[0]?.message.content).toBe('survived');
    expect(upstreamCalls()).toBe(1);
    await booksAtRest(daypass);
  });

  it('is not sent again when the worker was killed while it ran (kill -9): its outcome is unknown, and stays so', async () => {
    daypass.rehearsal.onChat = () => ({ firstTokenMs: 60_000 });
    const body = { model, messages: say('whoops') };
    const first = post(body, 'worker killed');
    await until('the call reaches the upstream', () => upstreamCalls() > 0);
    daypass.services.kill('forwarding', 'SIGKILL');
    expect(JSON.parse((await first).text)).toMatchObject({ error: { code: 'upstream_outcome_unknown' } });
    expect(await post(body, 'worker killed')).toMatchObject({
      status: 502,
      replayed: 'true',
      id: (await first).id,
      text: (await first).text,
    });
    expect(upstreamCalls()).toBe(1);
    await daypass.services.whenReady('forwarding');
    const { id } = await first;
    const booked = (await booksAtRest(daypass)).find(({ request_id }) => request_id === id);
    expect(booked?.kinds).toEqual(['hold', 'presume']);
  });

  it('gets its first answer again after all services were started anew', async () => {
    const body = { model, messages: say('before the restart'), stream: true };
    const first = await post(body, 'restart');
    await Promise.all(SERVICES.map((service) => daypass.services.stop(service)));
    await Promise.all(SERVICES.map((service) => daypass.services.start(service)));
    expect(await post(body, 'restart')).toMatchObject({
      status: 200,
      replayed: 'true',
      id: first.id,
      text: first.text,
    });
    expect(upstreamCalls()).toBe(1);
    await booksAtRest(daypass);
  });
});

/** Every key and every value that Redis holds, as text. */
async function dump(redis: Redis): Promise<string> {
  const texts: string[] = [];
  for (const name of await redis.keys('*')) {
    texts.push(name);
    const type = await redis.type(name);
    if (type === 'string') texts.push((await redis.get(name)) ?? '');
    else if (type === 'hash') texts.push(JSON.stringify(await redis.hgetall(name)));
    else if (type === 'list') texts.push(...(await redis.lrange(name, 0, -1)));
    else if (type === 'set') texts.push(...(await redis.smembers(name)));
    else if (type === 'zset') texts.push(...(await redis.zrange(name, 0, -1)));
    else if (type === 'stream') texts.push(JSON.stringify(await redis.xrange(name, '-', '+')));
  }
  return texts.join('\n');
}
