import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { RequestEvent } from '#libs/contracts/audit.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

type Changes = Parameters<Money['take']>[1];
type Bounds = Parameters<Money['take']>[2];

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
});

describe('the door of the operator', () => {
  it('lets no new call in while it is shut, and takes nothing; what runs goes on and ends', async () => {
    await money.take('running');
    await money.redis.set(redisKeys.doorSwitch, 'shut');
    const before = await money.everything();
    expect(await money.take('r')).toEqual({ code: 'paused' });
    expect(await money.take('r', { question: true })).toEqual({ code: 'paused' });
    expect(await money.everything()).toEqual(before);
    // Its first answer was lost.
    expect(await money.take('running')).toMatchObject({ code: 'ok', repeated: true });
    expect((await money.start('running')).code).toBe('started');
    const end = { dispatched: { amountNano: 1_000n, day: 1, attempt: 1 }, costNano: 400n };
    expect(await money.end('running', 'post', end)).toMatchObject({ outcome: 'applied', paidNano: 400n });
    await money.redis.del(redisKeys.doorSwitch);
    expect((await money.take('r')).code).toBe('ok');
  });
});

describe('taking a hold', () => {
  it('starts the time of a key that waits for its first call, once, and says so in the journal', async () => {
    await money.key({ ttlFromUseMs: 60_000 });
    const first = await money.take('first');
    const field = (name: string) => money.redis.hget(redisKeys.key('k'), name);
    const expiresMs = await field('expires_ms');
    expect(Number(expiresMs)).toBe(Number(await field('first_used_ms')) + 60_000);
    await money.take('second');
    expect([first.code, await field('expires_ms')]).toEqual(['ok', expiresMs]);
    expect((await money.journal()).map((event) => [event.request, event.first_use])).toEqual([
      ['first', '1'],
      ['second', undefined],
    ]);
  });

  it('holds the bound at key, campaign and day at once, and journals it once', async () => {
    const answer = await money.take('r', { detail: '{"model":"m"}' });
    expect(answer).toMatchObject({
      code: 'ok',
      capTokens: 90,
      amountNano: 1_000n,
      availableNano: 999_000n,
      windowRequests: 1,
      windowTokens: 100,
      repeated: false,
    });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 1_000 }));
    expect(await money.journal()).toEqual([
      {
        kind: 'hold',
        request: 'r',
        key: 'k',
        campaign: 'c',
        amount: '1000',
        paid: '0',
        absorbed: '0',
        day: expect.stringMatching(/^\d{5}$/),
        at_ms: expect.stringMatching(/^\d{13}$/),
        detail: '{"model":"m"}',
      },
    ]);
  });

  it("answers with Redis' own time", async () => {
    const [seconds] = await money.redis.time();
    const answer = await money.take('r');
    expect(answer.code === 'ok' && Math.abs(answer.nowMs - Number(seconds) * 1_000)).toBeLessThan(5_000);
  });

  it('repeats the first answer for the same call, and moves the money once', async () => {
    const first = await money.take('r');
    const before = await money.everything();
    const second = await money.take('r');
    expect(first).toMatchObject({ code: 'ok', repeated: false });
    expect(second).toMatchObject({
      code: 'ok',
      capTokens: 90,
      amountNano: 1_000n,
      availableNano: 999_000n,
      repeated: true,
    });
    expect(await money.everything()).toEqual(before);
  });

  it('repeats a clamped cap, although more would be free by now', async () => {
    await money.key({ budgetNano: 500n });
    expect(await money.take('r', { leastCapTokens: 16 })).toMatchObject({ capTokens: 40 });
    await money.key({ budgetNano: 5_000n });
    expect(await money.take('r', { leastCapTokens: 16 })).toMatchObject({
      code: 'ok',
      capTokens: 40,
      amountNano: 500n,
      repeated: true,
    });
  });

  it('repeats the first answer after the hold has ended, and revives nothing', async () => {
    await money.take('r');
    await money.end('r', 'void');
    const before = await money.everything();
    expect(await money.take('r')).toMatchObject({ code: 'ok', repeated: true });
    expect(await money.everything()).toEqual(before);
    expect(await money.start('r')).toEqual({ code: 'ended', state: 'voided' });
  });

  it.each([
    ['a price', { fixedNano: 101n }],
    ['a rate', { perUnitNano: 11n }],
    ['a cap', { capTokens: 91, leastCapTokens: 91 }],
    ['a least cap', { leastCapTokens: 16 }],
    ['a number of outputs', { outputs: 2 }],
    ['a number of input tokens', { inputTokens: 11 }],
    ['a key', { keyId: 'other' }],
  ])('is a conflict where the same id comes with another %s', async (_, changes) => {
    await money.key({ id: 'other' });
    await money.take('r');
    const before = await money.everything();
    expect(await money.take('r', changes)).toEqual({ code: 'conflict' });
    expect(await money.everything()).toEqual(before);
  });

  it('holds nothing but still counts and runs for a model that costs nothing', async () => {
    expect(await money.take('r', { fixedNano: 0n, perUnitNano: 0n })).toMatchObject({
      code: 'ok',
      amountNano: 0n,
      capTokens: 90,
    });
    expect(await money.redis.hget(redisKeys.key('k'), 'running')).toBe('1');
  });

  it('is exact up to the largest budget there is', async () => {
    await money.campaign({ budgetNano: 9_000_000_000_000_000n });
    await money.key({ budgetNano: 9_000_000_000_000_000n });
    expect(
      await money.take('r', { fixedNano: 8_999_999_999_999_999n, perUnitNano: 1n, capTokens: 1, leastCapTokens: 1 }),
    ).toMatchObject({
      code: 'ok',
      availableNano: 0n,
    });
    expect(await money.redis.hget(redisKeys.key('k'), 'held')).toBe('9000000000000000');
    expect(await money.take('r2', { fixedNano: 1n, perUnitNano: 0n })).toMatchObject({
      code: 'insufficient',
      freeNano: 0n,
      needNano: 1n,
    });
  });
});

describe('a refused hold', () => {
  const refusals: [string, () => Promise<unknown>, Changes, Bounds, object][] = [
    ['Redis has no projection yet', () => money.redis.del(redisKeys.epoch), {}, {}, { code: 'recovering' }],
    ['nobody knows the key', async () => undefined, { keyId: 'nobody' }, {}, { code: 'invalid' }],
    ['the key is revoked', () => money.key({ status: 'revoked' }), {}, {}, { code: 'invalid' }],
    ['the key has not started', () => money.key({ startsMs: Date.now() + 60_000 }), {}, {}, { code: 'invalid' }],
    ['the key has expired', () => money.key({ expiresMs: Date.now() - 1 }), {}, {}, { code: 'invalid' }],
    [
      'the key is of another campaign',
      () => money.campaign({ id: 'c2' }),
      { campaignId: 'c2' },
      {},
      { code: 'invalid' },
    ],
    ['the campaign is closed', () => money.campaign({ status: 'closed' }), {}, {}, { code: 'invalid' }],
    ['the campaign is gone', () => money.redis.del(redisKeys.campaign('c')), {}, {}, { code: 'invalid' }],
    ['the key is suspended', () => money.key({ status: 'suspended' }), {}, {}, { code: 'suspended' }],
    [
      'the key has too little',
      () => money.key({ budgetNano: 999n }),
      {},
      {},
      { code: 'insufficient', level: 'key', freeNano: 999n, heldNano: 0n, needNano: 1_000n },
    ],
    [
      'the campaign has too little',
      () => money.campaign({ budgetNano: 999n }),
      {},
      {},
      { code: 'insufficient', level: 'campaign', freeNano: 999n, heldNano: 0n, needNano: 1_000n },
    ],
    [
      "the operator's day has too little",
      async () => undefined,
      {},
      { operatorDayNano: 999n },
      { code: 'insufficient', level: 'operator', freeNano: 999n, heldNano: 0n, needNano: 1_000n },
    ],
    [
      "the operator's day has nothing",
      async () => undefined,
      {},
      { operatorDayNano: 0n },
      { code: 'insufficient', level: 'operator', freeNano: 0n },
    ],
    [
      'not even the least cap can be paid',
      () => money.key({ budgetNano: 259n }),
      { leastCapTokens: 16 },
      {},
      { code: 'insufficient', level: 'key', freeNano: 259n, needNano: 260n },
    ],
    [
      'not even the input can be paid',
      () => money.key({ budgetNano: 99n }),
      { leastCapTokens: 0 },
      {},
      { code: 'insufficient', level: 'key', freeNano: 99n, needNano: 100n },
    ],
    [
      'the call is larger than a whole minute of tokens',
      () => money.key({ limits: { rpm: 0, tpm: 99, concurrent: 0 } }),
      {},
      {},
      { code: 'tokens', limit: 99, waitMs: -1, need: 100 },
    ],
    ['the journal is at its bound', async () => undefined, {}, { journalEntries: 0 }, { code: 'overloaded' }],
  ];

  it.each(refusals)(
    'says so where %s, and moves, journals and leaves nothing',
    async (_, arrange, changes, bounds, expected) => {
      await arrange();
      const before = await money.everything();
      for (const attempt of ['first', 'repeated']) {
        expect({ attempt, answer: await money.take('r', changes, bounds) }).toMatchObject({
          attempt,
          answer: expected,
        });
        expect(await money.everything()).toEqual(before);
      }
    },
  );

  it('can be taken once the reason is gone, under the same id', async () => {
    await money.key({ budgetNano: 10n });
    expect(await money.take('r')).toMatchObject({ code: 'insufficient' });
    await money.key({ budgetNano: 1_000n });
    expect(await money.take('r')).toMatchObject({ code: 'ok', repeated: false });
  });

  it('says how much of the budget other calls hold, so that the visitor knows what waiting would bring', async () => {
    await money.key({ budgetNano: 1_500n });
    await money.take('r1');
    expect(await money.take('r2')).toEqual({
      code: 'insufficient',
      level: 'key',
      period: '',
      freeNano: 500n,
      heldNano: 1_000n,
      needNano: 1_000n,
    });
  });

  it('takes a key that expires later', async () => {
    await money.key({ expiresMs: Date.now() + 60_000 });
    expect(await money.take('r')).toMatchObject({ code: 'ok' });
  });

  it('leaves running calls their journal: only new ones are refused at its bound', async () => {
    await money.take('r', {}, { journalEntries: 1 });
    expect(await money.take('r2', {}, { journalEntries: 1 })).toEqual({ code: 'overloaded' });
    await money.start('r');
    expect(await money.end('r', 'post', { costNano: 5n })).toMatchObject({ outcome: 'applied' });
    expect(await money.take('r', {}, { journalEntries: 1 })).toMatchObject({ code: 'ok', repeated: true });
  });
});

describe('the output cap', () => {
  it('of a caller who asked for none is clamped to what the key can carry', async () => {
    await money.key({ budgetNano: 459n });
    expect(await money.take('r', { leastCapTokens: 16 })).toMatchObject({
      code: 'ok',
      capTokens: 35,
      amountNano: 450n,
      availableNano: 9n,
    });
  });

  it('is clamped to the tightest of key, campaign and day', async () => {
    await money.key({ budgetNano: 800n });
    await money.campaign({ budgetNano: 600n });
    expect(await money.take('r', { leastCapTokens: 16 }, { operatorDayNano: 400n })).toMatchObject({
      code: 'ok',
      capTokens: 30,
      amountNano: 400n,
    });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 400 }));
  });

  it('may be clamped down to the least, not a token below', async () => {
    await money.key({ budgetNano: 260n });
    expect(await money.take('r', { leastCapTokens: 16 })).toMatchObject({
      code: 'ok',
      capTokens: 16,
      amountNano: 260n,
      availableNano: 0n,
    });
  });

  it("is clamped to the key's tokens a minute, over all outputs", async () => {
    await money.key({ limits: { rpm: 0, tpm: 75, concurrent: 0 } });
    expect(await money.take('r', { leastCapTokens: 16, outputs: 2, perUnitNano: 20n })).toMatchObject({
      code: 'ok',
      capTokens: 32,
      amountNano: 740n,
      windowTokens: 74,
    });
  });

  it('is never clamped where the caller asked for it', async () => {
    await money.key({ budgetNano: 999n });
    expect(await money.take('r')).toMatchObject({ code: 'insufficient', needNano: 1_000n });
    await money.key({ limits: { rpm: 0, tpm: 99, concurrent: 0 } });
    expect(await money.take('r')).toMatchObject({ code: 'tokens', waitMs: -1 });
  });

  it('is never raised', async () => {
    await money.key({ limits: { rpm: 0, tpm: 1_000_000, concurrent: 0 } });
    expect(await money.take('r', { leastCapTokens: 16 })).toMatchObject({ capTokens: 90 });
  });
});

describe('a call without an output cap', () => {
  const UNCAPPED = { perUnitNano: 0n, capTokens: 0, leastCapTokens: 0, outputs: 0 };
  const uncapped = (requestId: string, changes: Changes = {}, bounds: Bounds = {}) =>
    money.take(requestId, { ...UNCAPPED, ...changes }, bounds);

  it('holds exactly its fixed part, and reserves its input tokens', async () => {
    await money.key({ limits: { rpm: 0, tpm: 10, concurrent: 0 } });
    const answer = { code: 'ok', capTokens: 0, amountNano: 100n, availableNano: 999_900n };
    expect(await uncapped('r')).toMatchObject({ ...answer, windowRequests: 1, windowTokens: 10, repeated: false });
    expect(await uncapped('r')).toMatchObject({ ...answer, repeated: true });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 100 }));
    expect(await money.window(redisKeys.keyWindow('k'))).toEqual({ requests: 1, tokens: 10 });
  });

  it('may take the last of the balance', async () => {
    await money.key({ budgetNano: 100n });
    expect(await uncapped('r')).toMatchObject({ code: 'ok', capTokens: 0, amountNano: 100n, availableNano: 0n });
  });

  it('may cost nothing, with nothing left', async () => {
    await money.key({ budgetNano: 0n });
    expect(await uncapped('r', { fixedNano: 0n })).toMatchObject({ code: 'ok', capTokens: 0, amountNano: 0n });
  });

  it.each([
    ['key', () => money.key({ budgetNano: 99n }), {}],
    ['campaign', () => money.campaign({ budgetNano: 99n }), {}],
    ['operator', () => Promise.resolve(), { operatorDayNano: 99n }],
    ['operator', () => Promise.resolve(), { operatorTotalNano: 99n }],
  ] as const)('is refused where the %s does not cover the fixed part', async (level, short, bounds) => {
    await short();
    const before = await money.everything();
    for (const patient of [false, true])
      expect(await uncapped('r', {}, { ...bounds, patient })).toMatchObject({
        code: 'insufficient',
        level,
        freeNano: 99n,
        heldNano: 0n,
        needNano: 100n,
      });
    expect(await money.everything()).toEqual(before);
  });

  it('is refused where its input is larger than a whole minute of tokens', async () => {
    await money.key({ limits: { rpm: 0, tpm: 9, concurrent: 0 } });
    expect(await uncapped('r')).toEqual({ code: 'tokens', limit: 9, waitMs: -1, need: 10 });
  });

  it('waits for the minute that its input tokens fit in', async () => {
    await money.key({ limits: { rpm: 0, tpm: 19, concurrent: 0 } });
    await uncapped('r1');
    expect(await uncapped('r2')).toMatchObject({ code: 'tokens', limit: 19, need: 10 });
  });

  it('waits for a running hold only where the end of that hold would cover it, and only if patient', async () => {
    await money.key({ budgetNano: 150n });
    await uncapped('running');
    const before = await money.everything();
    expect(await uncapped('r', {}, { patient: true })).toEqual({ code: 'busy', level: 'key' });
    expect(await uncapped('r')).toMatchObject({ code: 'insufficient', freeNano: 50n, heldNano: 100n, needNano: 100n });
    const dear = await uncapped('r', { fixedNano: 151n }, { patient: true });
    expect(dear).toMatchObject({ code: 'insufficient', needNano: 151n });
    expect(await money.everything()).toEqual(before);
    expect(await uncapped('r', { fixedNano: 50n }, { patient: true })).toMatchObject({ code: 'ok', amountNano: 50n });
  });
});

describe("the key's own limits", () => {
  const limits = (changes: Partial<{ rpm: number; tpm: number; concurrent: number }>) =>
    money.key({ limits: { rpm: 0, tpm: 0, concurrent: 0, ...changes } });

  it('let as many calls run at once as it says, and the next when one has ended', async () => {
    await limits({ concurrent: 2 });
    await money.take('r1');
    await money.take('r2');
    const before = await money.everything();
    expect(await money.take('r3')).toEqual({ code: 'concurrency', limit: 2 });
    expect(await money.everything()).toEqual(before);
    await money.end('r1', 'void');
    expect(await money.take('r3')).toMatchObject({ code: 'ok' });
  });

  it('have a default for the calls at once, which its own number replaces', async () => {
    await limits({});
    await money.take('r1', {}, { keyConcurrent: 1 });
    expect(await money.take('r2', {}, { keyConcurrent: 1 })).toEqual({ code: 'concurrency', limit: 1 });
    await limits({ concurrent: 2 });
    expect(await money.take('r2', {}, { keyConcurrent: 1 })).toMatchObject({ code: 'ok' });
    expect(await money.take('r3', {}, { keyConcurrent: 9 })).toEqual({ code: 'concurrency', limit: 2 });
  });

  it('let as many requests pass in a minute as it says, and tell the wait', async () => {
    await limits({ rpm: 2 });
    await money.take('r1');
    expect(await money.take('r2')).toMatchObject({ windowRequests: 2 });
    const before = await money.everything();
    const answer = await money.take('r3');
    expect(answer).toMatchObject({ code: 'requests', limit: 2 });
    expect(answer.code === 'requests' && answer.waitMs).toBeGreaterThan(58_000);
    expect(answer.code === 'requests' && answer.waitMs).toBeLessThanOrEqual(60_000);
    expect(await money.everything()).toEqual(before);
  });

  it('are told to the holder of the key as they are counted, and forgotten after a minute', async () => {
    await limits({ rpm: 5, tpm: 1_000 });
    const use = async () => {
      const answer = await money.holds.readKey('token-of-k');
      return answer.code === 'ok' && [answer.windowRequests, answer.windowTokens];
    };
    expect(await use()).toEqual([0, 0]);
    await money.take('r1');
    await money.take('r2');
    const before = await money.everything();
    expect(await use()).toEqual([2, 200]);
    expect(await money.everything()).toEqual(before);
    // As if both had come a minute ago, one of them a moment later.
    const window = await money.redis.hgetall(redisKeys.keyWindow('k'));
    const bucket = Math.floor((await redisNowMs(money.redis)) / 250) - 239;
    await money.redis.del(redisKeys.keyWindow('k'));
    const aged = { h: bucket - 2, n: 2, t: 200, [`n${bucket - 1}`]: 1, [`t${bucket - 1}`]: 100 };
    await money.redis.hset(redisKeys.keyWindow('k'), { ...aged, [`n${bucket + 20}`]: 1, [`t${bucket + 20}`]: 100 });
    expect(await use()).toEqual([1, 100]);
    await money.redis.hset(redisKeys.keyWindow('k'), { ...window, h: bucket - 500 });
    expect(await use()).toEqual([0, 0]);
  });

  it('count a request that was voided, but give its tokens back', async () => {
    await limits({ rpm: 2, tpm: 150 });
    await money.take('r1');
    await money.end('r1', 'void');
    expect(await money.take('r2')).toMatchObject({ code: 'ok', windowRequests: 2, windowTokens: 100 });
    expect(await money.take('r3')).toMatchObject({ code: 'requests' });
  });

  it('let as many tokens pass in a minute as it says, and tell the wait and the need', async () => {
    await limits({ tpm: 250 });
    await money.take('r1');
    await money.take('r2');
    const before = await money.everything();
    const answer = await money.take('r3');
    expect(answer).toMatchObject({ code: 'tokens', limit: 250, need: 100 });
    expect(answer.code === 'tokens' && answer.waitMs).toBeGreaterThan(58_000);
    expect(await money.everything()).toEqual(before);
  });

  it('take a call of exactly the whole minute', async () => {
    await limits({ tpm: 100 });
    expect(await money.take('r1')).toMatchObject({ code: 'ok', windowTokens: 100 });
  });

  it('count each key by itself', async () => {
    await limits({ rpm: 1 });
    await money.key({ id: 'k2', limits: { rpm: 1, tpm: 0, concurrent: 0 } });
    expect(await money.take('r1')).toMatchObject({ code: 'ok' });
    expect(await money.take('r2', { keyId: 'k2' })).toMatchObject({ code: 'ok' });
  });
});

describe('many at once', () => {
  it('let exactly seven of 300 calls through on a key that can pay for seven', async () => {
    await money.key({ budgetNano: 7_999n });
    const answers = await Promise.all(Array.from({ length: 300 }, (_, index) => money.take(`r${index}`)));
    expect(answers.filter(({ code }) => code === 'ok')).toHaveLength(7);
    expect(answers.filter(({ code }) => code === 'insufficient')).toHaveLength(293);
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 7_000 }));
    expect(await money.journal()).toHaveLength(7);
  });

  it("never let many keys overspend their campaign's budget", async () => {
    await money.campaign({ budgetNano: 7_500n });
    for (let key = 0; key < 10; key++) await money.key({ id: `k${key}` });
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) => money.take(`r${index}`, { keyId: `k${index % 10}` })),
    );
    expect(answers.filter(({ code }) => code === 'ok')).toHaveLength(7);
    expect(answers.filter((answer) => answer.code === 'insufficient' && answer.level === 'campaign')).toHaveLength(293);
  });

  it('move the money once where the same call comes 50 times', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => money.take('r')));
    expect(answers.filter((answer) => answer.code === 'ok' && !answer.repeated)).toHaveLength(1);
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 1_000 }));
  });
});

describe("the operator's day", () => {
  it('is counted without a budget too, so that one set at noon knows the morning', async () => {
    await money.take('r1');
    expect(await money.take('r2', {}, { operatorDayNano: 1_500n })).toMatchObject({
      code: 'insufficient',
      level: 'operator',
      period: 'day',
      freeNano: 500n,
      heldNano: 1_000n,
    });
  });

  it('goes away by itself', async () => {
    await money.take('r1', {}, { operatorDayNano: 5_000n });
    const life = await money.redis.pttl(await money.today());
    expect(life).toBeGreaterThan(24 * 3_600_000);
    expect(life).toBeLessThanOrEqual(72 * 3_600_000);
  });
});

describe('a patient caller', () => {
  const patient = (requestId: string, changes: Changes = {}) =>
    money.take(requestId, { leastCapTokens: 16, ...changes }, { patient: true });

  it('is told to wait where running holds stand in the way of the whole cap, and nothing is held', async () => {
    await money.key({ budgetNano: 1_500n });
    await money.take('running');
    const before = await money.everything();
    expect(await patient('r')).toEqual({ code: 'busy', level: 'key' });
    expect(await money.everything()).toEqual(before);
    // The impatient one takes what is free.
    expect(await money.take('r', { leastCapTokens: 16 })).toMatchObject({ code: 'ok', capTokens: 40 });
  });

  it.each([
    ['campaign', () => money.campaign({ budgetNano: 1_500n }), {}],
    ['operator', () => Promise.resolve(), { operatorDayNano: 1_500n }],
    ['operator', () => Promise.resolve(), { operatorTotalNano: 1_500n }],
  ] as const)('is told which level it waits for: %s', async (level, short, bounds) => {
    await short();
    await money.take('running');
    expect(await money.take('r', {}, { ...bounds, patient: true })).toEqual({ code: 'busy', level });
  });

  it('is clamped or refused at once where nothing runs, or where its end would not help', async () => {
    await money.key({ budgetNano: 500n });
    expect(await patient('r')).toMatchObject({ code: 'ok', capTokens: 40 });
    await money.key({ id: 'k2', budgetNano: 200n });
    expect(await patient('r2', { keyId: 'k2' })).toMatchObject({ code: 'insufficient', level: 'key' });
    await money.key({ id: 'k3', budgetNano: 250n });
    await money.take('small', { keyId: 'k3', fixedNano: 10n, perUnitNano: 0n });
    expect(await patient('r3', { keyId: 'k3' })).toMatchObject({ code: 'insufficient', heldNano: 10n });
  });
});

describe('bytes', () => {
  const HOUR_MS = 3_600_000;
  const limited = (bytes_per_hour: number) => ({ limits: { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour } });
  const DEFAULT = { keyBytesPerHour: 1_000 };
  const body = { encrypted: Buffer.from([0, 255, 13, 10]), lifeMs: 60_000 };

  it('of a key are bounded within an hour, by its own limit or by the default', async () => {
    expect((await money.take('a', { sentBytes: 600 }, DEFAULT)).code).toBe('ok');
    const refused = await money.take('b', { sentBytes: 600 }, DEFAULT);
    expect(refused).toMatchObject({ code: 'bytes', limit: 1_000, need: 600 });
    const wait = refused.code === 'bytes' ? refused.waitMs : 0;
    expect(wait).toBeGreaterThan(HOUR_MS - 60_000);
    expect(wait).toBeLessThanOrEqual(HOUR_MS);
    expect((await money.take('c', { sentBytes: 400 }, DEFAULT)).code).toBe('ok');
    await money.key(limited(2_000));
    expect((await money.take('d', { sentBytes: 600 }, DEFAULT)).code).toBe('ok');
    expect(await money.take('e', { sentBytes: 2_001 }, DEFAULT)).toEqual({
      code: 'bytes',
      limit: 2_000,
      waitMs: -1,
      need: 2_001,
    });
    expect((await money.take('f', { sentBytes: 2 ** 40 })).code).toBe('bytes');
    await money.key(limited(0));
    expect((await money.take('g', { sentBytes: 2 ** 40 })).code).toBe('ok');
  });

  it('leave the window bucket by bucket', async () => {
    await money.take('a', { sentBytes: 900 }, DEFAULT);
    const window = redisKeys.keyBytes('k');
    const fields = Object.entries(await money.redis.hgetall(window));
    // As if they had come 50 minutes before, of an hour in buckets of 14.8 seconds.
    const buckets = Math.floor(3_000_000 / 14_800);
    await money.redis.del(window);
    for (const [field, value] of fields) {
      const [, kind, bucket] = /^([a-z])(\d*)$/.exec(field)!;
      if (kind === 'h') await money.redis.hset(window, 'h', Number(value) - buckets);
      else await money.redis.hset(window, bucket === '' ? kind! : kind! + (Number(bucket) - buckets), value);
    }
    const refused = await money.take('b', { sentBytes: 600 }, DEFAULT);
    expect(refused).toMatchObject({ code: 'bytes' });
    const wait = refused.code === 'bytes' ? refused.waitMs : 0;
    expect(wait).toBeGreaterThan(540_000);
    expect(wait).toBeLessThanOrEqual(615_000);
  });

  it('count though the call is refused, and are not asked for again by the same call', async () => {
    await money.key({ budgetNano: 1n });
    expect((await money.take('a', { sentBytes: 600 }, DEFAULT)).code).toBe('insufficient');
    expect((await money.take('b', { sentBytes: 600 }, DEFAULT)).code).toBe('bytes');
    expect((await money.take('b', { sentBytes: 0 }, DEFAULT)).code).toBe('insufficient');
    expect(await money.holds.countBytes('k', 400, DEFAULT)).toBe('ok');
    expect(await money.holds.countBytes('k', 1, DEFAULT)).toMatchObject({ code: 'bytes', limit: 1_000 });
  });

  it('of a body come to Redis with the hold, and with nothing else', async () => {
    const stored = () => money.redis.getBuffer(redisKeys.body('r'));
    await money.key({ budgetNano: 1_500n });
    await money.take('running');
    expect((await money.take('r', { body }, { patient: true })).code).toBe('busy');
    expect((await money.take('r', { body })).code).toBe('insufficient');
    expect(await stored()).toBeNull();
    await money.end('running', 'void');
    const before = await money.everything();
    expect(await money.take('r', { question: true }, { patient: true })).toEqual({ code: 'ready' });
    expect(await money.everything()).toEqual(before);
    expect((await money.take('r', { body }, { patient: true })).code).toBe('ok');
    expect(await stored()).toEqual(body.encrypted);
    expect(await money.redis.pttl(redisKeys.body('r'))).toBeGreaterThan(59_000);
  });

  it('that wait for the record are counted for each key, and one key has a share', async () => {
    const recorded = { kind: 'request', id: 'r', key: 'k', campaign: 'c' } as unknown as RequestEvent;
    await money.key({ id: 'other' });
    const share = { auditBytesOfKey: 50 };
    expect((await money.take('a', { recorded, body }, share)).code).toBe('ok');
    const counted = Number(await money.redis.hget(redisKeys.auditKeyBytes, 'k'));
    expect(counted).toBe(JSON.stringify(recorded).length + body.encrypted.length);
    expect(await money.take('b', { recorded, body }, share)).toEqual({ code: 'record' });
    expect((await money.take('c', { keyId: 'other', recorded: { ...recorded, key: 'other' }, body }, share)).code).toBe(
      'ok',
    );
  });

  it('find no room in a full Redis, and nothing is taken then', async () => {
    const before = await money.everything();
    await money.redis.config('SET', 'maxmemory', '1');
    try {
      await expect(money.take('r', { body, sentBytes: 10 }, DEFAULT)).rejects.toThrow('OOM');
    } finally {
      await money.redis.config('SET', 'maxmemory', '0');
    }
    expect(await money.everything()).toEqual(before);
  });
});
