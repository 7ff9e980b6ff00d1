import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { formatUsd, parseUsd } from '#libs/money/nano.js';
import { shareDaypass, startDaypass, type Daypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';
import { UpstreamHands } from './upstream-hands.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];
const OUTPUT_NANO = 4_500n;
/** DAYPASS_MIN_OUTPUT_TOKENS unless it is set. */
const LEAST_TOKENS = 16n;

/** What is held for the input of a call that says hello: learned from the refusal of a poor key. */
async function inputNanoOf(daypass: SharedDaypass): Promise<bigint> {
  const poor = await daypass.createKey({ key: { budget_usd: '0.000001' } });
  const client = new OpenAI({ apiKey: poor.key, baseURL: daypass.baseUrl });
  const { error } = await errorOf(client.chat.completions.create({ model, messages, max_tokens: 100 }));
  return parseUsd((error as { daypass: { needed_usd: string } }).daypass.needed_usd) - LEAST_TOKENS * OUTPUT_NANO;
}

function chatWith(daypass: SharedDaypass, key: TestKey) {
  const client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 2 });
  return (
    maxTokens: number,
    { seed = 0, waitMs, signal }: { seed?: number; waitMs?: number; signal?: AbortSignal } = {},
  ) =>
    client.chat.completions
      .create(
        { model, messages, max_tokens: maxTokens, seed },
        {
          ...(waitMs === undefined ? {} : { headers: { 'x-daypass-max-wait-ms': String(waitMs) } }),
          ...(signal ? { signal } : {}),
        },
      )
      .withResponse();
}

const seedsOf = (hands: UpstreamHands): unknown[] => hands.calls.map((call) => call.body.seed);
const MOMENT_MS = 400;
/** A call that waits in vain does so for half a minute. What comes sooner did not wait, however slow the machine is. */
const AT_ONCE_MS = 10_000;
/** Of the calls that keep coming: the last one that is surely in the line when the money comes back, and the one with which it does. */
const LAST_BEFORE = 120;
const FREED_AT = 130;

describe('a call whose money is held by running ones', () => {
  let daypass: SharedDaypass;
  let redis: Redis;
  let hands: UpstreamHands;
  let inputNano: bigint;
  const boundOf = (maxTokens: number): bigint => inputNano + BigInt(maxTokens) * OUTPUT_NANO;
  /** A key with money for calls of so many output tokens at once, and a little more. */
  const keyFor = (caps: number[], moreNano = 0n) => daypass.createKey({ key: { budget_usd: usdFor(caps, moreNano) } });
  const usdFor = (caps: number[], moreNano = 0n): string =>
    formatUsd(caps.reduce((sum, cap) => sum + boundOf(cap), moreNano));

  beforeAll(async () => {
    daypass = await shareDaypass();
    redis = new Redis(daypass.redisUrl);
    inputNano = await inputNanoOf(daypass);
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    hands = new UpstreamHands(daypass);
  });
  afterEach(() => hands.endAll(1));

  it('waits for them, and those who wait are served in order of arrival', async () => {
    const chat = chatWith(daypass, await keyFor([100], 400_000n));
    const running = chat(100);
    await hands.came(1);
    const waiting = [];
    for (let seed = 1; seed <= 15; seed++) {
      waiting.push(chat(100, { seed }));
      await sleep(30);
    }
    await sleep(MOMENT_MS);
    expect(hands.calls).toHaveLength(1);
    hands.endAll(1);
    await Promise.all([running, ...waiting]);
    expect(seedsOf(hands)).toEqual(Array.from({ length: 16 }, (_, index) => index));
    // Each wakes the next. By a clock, which looks five times a second, none would come sooner; other work only delays.
    const cameAt = daypass.rehearsal.chatCalls().map(({ startedAtMs }) => startedAtMs);
    const gaps = cameAt.slice(2).map((atMs, index) => atMs - cameAt[index + 1]!);
    expect(Math.min(...gaps)).toBeLessThan(150);
    expect(hands.calls.every(({ body }) => body.max_tokens === 100)).toBe(true);
    await booksAtRest(daypass);
  });

  it('does not wait when it may not (x-daypass-max-wait-ms: 0), and says what is held', async () => {
    const chat = chatWith(daypass, await keyFor([100]));
    const running = chat(100);
    await hands.came(1);
    const begun = Date.now();
    const error = await errorOf(chat(100, { waitMs: 0 }));
    expect(Date.now() - begun).toBeLessThan(AT_ONCE_MS);
    expect(error).toMatchObject({
      status: 429,
      code: 'insufficient_quota',
      error: {
        daypass: {
          level: 'key',
          free_usd: '0.00',
          held_usd: formatUsd(boundOf(100)),
          needed_usd: formatUsd(boundOf(Number(LEAST_TOKENS))),
        },
      },
    });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(error.message).toContain(`$${formatUsd(boundOf(100))} is held by running calls`);
    hands.endAll(1);
    await running;
  });

  it('is refused as soon as they have spent what it would have needed', async () => {
    const chat = chatWith(daypass, await keyFor([100]));
    const running = chat(100);
    await hands.came(1);
    const waiting = errorOf(chat(100));
    await sleep(MOMENT_MS);
    const begun = Date.now();
    hands.endAll(100);
    expect(await waiting).toMatchObject({
      code: 'insufficient_quota',
      error: { daypass: { level: 'key', held_usd: '0.00' } },
    });
    expect(Date.now() - begun).toBeLessThan(AT_ONCE_MS);
    await running;
    expect(hands.calls).toHaveLength(1);
  });

  it('takes what is free at the end of its wait, with a shorter answer', async () => {
    const chat = chatWith(daypass, await keyFor([100, 40]));
    const running = chat(100);
    await hands.came(1);
    const begun = Date.now();
    const waiting = chat(100, { waitMs: 1_000 });
    await hands.came(2);
    expect(Date.now() - begun).toBeGreaterThanOrEqual(1_000);
    expect(hands.calls[1]?.body.max_tokens).toBe(40);
    hands.endAll(1);
    const { response } = await waiting;
    expect(response.headers.get('x-daypass-output-cap')).toBe('40');
    expect((await running).response.headers.get('x-daypass-output-cap')).toBeNull();
  });

  it('is refused at the end of its wait when not even the shortest answer is free', async () => {
    const chat = chatWith(daypass, await keyFor([100], boundOf(Number(LEAST_TOKENS)) - 1n));
    const running = chat(100);
    await hands.came(1);
    const begun = Date.now();
    const error = await errorOf(chat(100, { waitMs: 1_000 }));
    expect(Date.now() - begun).toBeGreaterThanOrEqual(1_000);
    expect(Date.now() - begun).toBeLessThan(AT_ONCE_MS);
    expect(error).toMatchObject({
      code: 'insufficient_quota',
      error: { daypass: { level: 'key', held_usd: formatUsd(boundOf(100)) } },
    });
    hands.endAll(1);
    await running;
  });

  it('leaves nothing behind when its visitor hangs up, and the next is served', async () => {
    const key = await keyFor([100], 100_000n);
    const chat = chatWith(daypass, key);
    const running = chat(100);
    await hands.came(1);
    const hangUp = new AbortController();
    const leaver = errorOf(chat(100, { seed: 1, signal: hangUp.signal }));
    await sleep(50);
    const next = chat(100, { seed: 2 });
    await sleep(MOMENT_MS);
    // Nothing of a call that waits for money is in Redis.
    expect(await redis.keys('{dp}:body:*')).toHaveLength(1);
    hangUp.abort();
    expect(await leaver).toBeInstanceOf(OpenAI.APIUserAbortError);
    expect(await redis.zcard('{dp}:leases')).toBe(1);
    hands.endAll(1);
    await Promise.all([running, next]);
    expect(seedsOf(hands)).toEqual([0, 2]);
    await booksAtRest(daypass);
    expect(await redis.keys('{dp}:body:*')).toEqual([]);
  });

  it('hears of it at once when its key is revoked while it waits', async () => {
    const key = await keyFor([100]);
    const chat = chatWith(daypass, key);
    const running = chat(100);
    await hands.came(1);
    const waiting = errorOf(chat(100));
    await sleep(MOMENT_MS);
    await daypass.admin(`/admin/v1/keys/${key.id}/revoke`, { method: 'POST', body: {} });
    expect(await waiting).toMatchObject({ status: 401, code: 'invalid_api_key' });
    hands.endAll(1);
    await running;
  });

  it("waits for the campaign's money too, and holds up nobody whose money is free", async () => {
    const first = await daypass.createKey({ campaign: { budget_usd: usdFor([100], 100_000n) } });
    const second = await daypass.createKey({ campaign: first.campaign });
    const [chat, sister, stranger] = [first, second, await keyFor([100])].map((key) => chatWith(daypass, key));
    const running = chat!(100);
    await hands.came(1);
    const error = await errorOf(sister!(100, { waitMs: 0 }));
    expect(error).toMatchObject({
      code: 'insufficient_quota',
      error: { daypass: { level: 'campaign', held_usd: formatUsd(boundOf(100)) } },
    });
    const waiting = sister!(100, { seed: 1 });
    await sleep(MOMENT_MS);
    const free = stranger!(100, { seed: 2 });
    await hands.came(2);
    expect(seedsOf(hands)).toEqual([0, 2]);
    hands.endAll(1);
    await Promise.all([running, waiting, free]);
    expect(seedsOf(hands)).toEqual([0, 2, 1]);
  });

  it('does not hold up cheap calls behind it when it is a dear one', async () => {
    const first = await daypass.createKey({ campaign: { budget_usd: usdFor([300, 100], 100_000n) } });
    const second = await daypass.createKey({ campaign: first.campaign });
    const [chat, sister] = [first, second].map((key) => chatWith(daypass, key));
    const long = chat!(300);
    const short = chat!(100, { seed: 1 });
    await hands.came(2);
    const dear = chat!(300, { seed: 2 });
    await sleep(100);
    const cheap = sister!(100, { seed: 3 });
    await sleep(MOMENT_MS);
    expect(hands.calls).toHaveLength(2);
    hands.calls.find(({ body }) => body.max_tokens === 100)?.end(1);
    await short;
    await hands.came(3);
    expect(hands.calls[2]?.body.seed).toBe(3);
    hands.endAll(1);
    await Promise.all([long, dear, cheap]);
    expect(hands.calls[3]?.body).toMatchObject({ seed: 2, max_tokens: 300 });
  });

  it('is served in its turn, with its whole cap, though others keep coming', async () => {
    const chat = chatWith(daypass, await keyFor([100], 100_000n));
    const running = chat(100);
    await hands.came(1);
    let coming = true;
    const waiting = chat(100, { seed: 99 }).finally(() => (coming = false));
    await sleep(100);
    const others: Promise<unknown>[] = [];
    for (let seed = 100; seed < 300 && coming; seed++) {
      others.push(chat(100, { seed }));
      await sleep(5);
      // Whoever came before the money does is in the line by then, however slow the machine is.
      if (seed === LAST_BEFORE) await sleep(MOMENT_MS);
      if (seed === FREED_AT) hands.endAll(1);
    }
    await Promise.all([running, waiting]);
    // One that arrives in the very moment when the money comes back may be quicker; those who came before may not.
    const place = seedsOf(hands).indexOf(99);
    const quicker = seedsOf(hands).slice(1, place);
    expect(quicker.filter((seed) => Number(seed) <= LAST_BEFORE)).toEqual([]);
    expect(quicker.length).toBeLessThan(20);
    expect(hands.calls[place]?.body.max_tokens).toBe(100);
    await Promise.allSettled(others);
    await booksAtRest(daypass);
  });
});

describe('a key whose calls all wait', () => {
  let daypass: Daypass;
  beforeAll(async () => {
    daypass = await startDaypass({ env: { DAYPASS_MAX_CALLS: '100' } });
  });
  afterAll(() => daypass?.stop());

  it('fills a quarter of the process at most, and others are served', async () => {
    const hands = new UpstreamHands(daypass);
    const greedy = chatWith(daypass, await daypass.createKey({ key: { budget_usd: '0.0006' } }));
    const modest = chatWith(daypass, await daypass.createKey());
    const running = greedy(100);
    await hands.came(1);
    const outcomes: string[] = [];
    const waiting = Array.from({ length: 60 }, (_, seed) =>
      greedy(100, { seed }).then(
        () => outcomes.push('ok'),
        (error: { code: string }) => outcomes.push(error.code),
      ),
    );
    const other = modest(100, { seed: 99 });
    await hands.came(2);
    expect(hands.calls[1]?.body.seed).toBe(99);
    await sleep(MOMENT_MS);
    expect(outcomes).toEqual(Array(35).fill('insufficient_quota'));
    hands.endAll(1);
    await Promise.all([running, other, ...waiting]);
    expect(outcomes.slice(35)).toEqual(Array(25).fill('ok'));
    await booksAtRest(daypass);
  });
});

describe("the operator's own budget", () => {
  let daypass: Daypass | undefined;
  afterAll(() => daypass?.stop());

  it.each([
    ['budget_usd_per_day', 'day', /of the operator for today/],
    ['budget_usd_total', 'total', /of the operator does not cover/],
  ])(
    '%s bounds all keys together, and calls wait for the running ones',
    async (setting, period, message) => {
      // Money for one call of 100 output tokens, whose input is held for some 60,000 nano-dollars, and for no second one.
      daypass = await startDaypass({ config: { operator: { [setting]: '0.0006' } } });
      const hands = new UpstreamHands(daypass);
      const [one, other] = [await daypass.createKey(), await daypass.createKey()].map((key) => chatWith(daypass!, key));
      const running = one!(100);
      await hands.came(1);
      const refused = await errorOf(other!(100, { waitMs: 0 }));
      expect(refused).toMatchObject({
        status: 429,
        code: 'insufficient_quota',
        type: 'insufficient_quota',
        error: { daypass: { level: 'operator', period } },
      });
      expect(refused.message).toMatch(message);
      expect(refused.headers?.get('x-should-retry')).toBe('false');
      const waiting = other!(100, { seed: 1 });
      await sleep(MOMENT_MS);
      expect(hands.calls).toHaveLength(1);
      hands.calls[0]!.end(1);
      await running;
      await hands.came(2);
      hands.calls[1]!.end(100);
      await waiting;
      expect(await errorOf(other!(100))).toMatchObject({
        code: 'insufficient_quota',
        error: { daypass: { level: 'operator', period, held_usd: '0.00' } },
      });
      expect(hands.calls).toHaveLength(2);
      await booksAtRest(daypass);
      await daypass.stop();
      daypass = undefined;
    },
    60_000,
  );
});

describe('a key that is withdrawn while its call waits in the lane', () => {
  let daypass: SharedDaypass;
  beforeAll(async () => {
    daypass = await shareDaypass();
  });
  afterAll(() => daypass?.stop());

  it('has nothing more sent, pays nothing, and its visitor hears why', async () => {
    const [refusedByUpstream, revoked, suspended, expired, closed, untouched] = await Promise.all(
      [{}, {}, {}, { ttl_seconds: 3 }, {}, {}].map((key) => daypass.createKey({ key })),
    );
    let asked = 0;
    daypass.rehearsal.onChat = () =>
      ++asked === 1
        ? {
            refuse: {
              status: 429,
              headers: { 'retry-after-ms': '4000' },
              error: { message: 'slow down', code: 'rate_limit_exceeded' },
            },
          }
        : undefined;
    // The lane is frozen by the first call, and the others wait in it.
    const first = chatWith(daypass, refusedByUpstream!)(5);
    await until('the first call reaches the upstream', () => asked > 0);
    const withdrawn = [revoked, suspended, expired, closed].map((key) => errorOf(chatWith(daypass, key!)(5)));
    const served = chatWith(daypass, untouched!)(5);
    await sleep(500);
    await daypass.admin(`/admin/v1/keys/${revoked!.id}/revoke`, { method: 'POST', body: {} });
    await daypass.admin(`/admin/v1/keys/${suspended!.id}/suspend`, { body: { note: 'who is it?' } });
    const closing = await daypass.admin(`/admin/v1/campaigns/${closed!.campaign}`, {
      method: 'PATCH',
      body: { status: 'closed' },
    });
    expect(closing.status).toBe(200);
    expect(asked).toBe(1);
    const errors = await Promise.all(withdrawn);
    expect(errors.map(({ status, code }) => [status, code])).toEqual([
      [401, 'invalid_api_key'],
      [403, 'key_suspended'],
      [401, 'invalid_api_key'],
      [401, 'invalid_api_key'],
    ]);
    for (const error of errors) expect(error.headers?.get('x-should-retry')).toBe('false');
    await Promise.all([first, served]);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(3);
    const calls = await booksAtRest(daypass);
    const ids = errors.map((error) => error.headers?.get('x-request-id'));
    expect(calls.filter((call) => ids.includes(call.request_id)).map(({ kinds, paid }) => ({ kinds, paid }))).toEqual(
      Array(4).fill({ kinds: ['hold', 'void'], paid: 0n }),
    );
  });
});
