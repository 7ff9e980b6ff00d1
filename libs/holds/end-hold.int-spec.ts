import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { CheckEvent } from '#libs/contracts/audit.js';
import type { EndRequest } from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

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

const running = () => money.redis.hget(redisKeys.key('k'), 'running');
const last = async () => (await money.journal()).at(-1);

/** How a hold gets into each state that a transition can meet. */
const reach: Record<string, () => Promise<unknown>> = {
  held: () => money.take('r'),
  dispatched: () => money.dispatched('r'),
  deferred: async () => {
    await money.dispatched('r');
    await money.holds.defer({ requestId: 'r', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 1 });
  },
  posted: async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 300n });
  },
  voided: async () => {
    await money.take('r');
    await money.end('r', 'void');
  },
  presumed: async () => {
    await money.dispatched('r');
    await money.end('r', 'presume');
  },
};

describe('a verdict that goes with the end', () => {
  const verdict = (id: string, encrypted: Buffer | null = null) => ({
    event: { kind: 'check', id } as unknown as CheckEvent,
    encrypted,
  });
  const recorded = async () =>
    (await money.redis.xrangeBuffer(redisKeys.audit, '-', '+')).map(([entry, flat]) => {
      const fields = Object.fromEntries(
        Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n]!.toString(), flat[2 * n + 1]!]),
      );
      return {
        entry: entry.toString(),
        id: (JSON.parse(fields.event!.toString()) as CheckEvent).id,
        content: fields.content!,
      };
    });

  it('is in the record before the visitor is answered, with what was judged', async () => {
    await money.dispatched('r');
    const encrypted = randomBytes(64);
    await money.end('r', 'post', {
      costNano: 1n,
      reply: Buffer.from('answer'),
      events: [verdict('chk_1', encrypted), verdict('chk_2')],
    });
    const events = await recorded();
    expect(events.map(({ id, content }) => [id, content.length])).toEqual([
      ['chk_1', 64],
      ['chk_2', 0],
    ]);
    expect(events[0]!.content.equals(encrypted)).toBe(true);
    expect(Number(await money.redis.get(redisKeys.auditBytes))).toBeGreaterThan(64);
    expect(await money.redis.xlen(redisKeys.reply('door'))).toBe(1);
  });

  it('is there even where the hold had ended, and is not where nothing is done', async () => {
    await money.take('r');
    await money.end('r', 'void');
    expect(await money.end('r', 'post', { events: [verdict('chk_1')] })).toMatchObject({ outcome: 'repeated' });
    expect((await recorded()).map(({ id }) => id)).toEqual(['chk_1']);
    await money.redis.del(redisKeys.epoch);
    expect(await money.end('r', 'post', { events: [verdict('chk_2')] })).toMatchObject({ outcome: 'recovering' });
    expect(await recorded()).toHaveLength(1);
  });
});

describe('ending a hold', () => {
  type Row = [
    from: string,
    transition: EndRequest['transition'],
    outcome: string,
    state: string,
    paid: bigint,
    journal: string | null,
  ];
  const table: Row[] = [
    ['held', 'post', 'refused', 'held', 0n, null],
    ['held', 'void', 'applied', 'voided', 0n, 'void'],
    ['held', 'cancel', 'applied', 'voided', 0n, 'void'],
    ['held', 'presume', 'applied', 'voided', 0n, 'void'],
    ['held', 'expire', 'applied', 'voided', 0n, 'void'],
    ['deferred', 'post', 'refused', 'held', 0n, null],
    ['deferred', 'void', 'applied', 'voided', 0n, 'void'],
    ['deferred', 'cancel', 'applied', 'voided', 0n, 'void'],
    ['deferred', 'expire', 'applied', 'voided', 0n, 'void'],
    ['dispatched', 'post', 'applied', 'posted', 400n, 'post'],
    ['dispatched', 'void', 'applied', 'voided', 0n, 'void'],
    ['dispatched', 'cancel', 'running', 'dispatched', 0n, null],
    ['dispatched', 'presume', 'applied', 'presumed', 1_000n, 'presume'],
    ['dispatched', 'expire', 'applied', 'presumed', 1_000n, 'presume'],
    ['presumed', 'post', 'corrected', 'posted', 400n, 'correct'],
    ['presumed', 'void', 'corrected', 'voided', 0n, 'correct'],
    ...(['cancel', 'presume', 'expire'] as const).map((transition): Row => [
      'presumed',
      transition,
      'repeated',
      'presumed',
      1_000n,
      null,
    ]),
    ...(['post', 'void', 'cancel', 'presume', 'expire'] as const).flatMap((transition): Row[] => [
      ['posted', transition, 'repeated', 'posted', 300n, null],
      ['voided', transition, 'repeated', 'voided', 0n, null],
    ]),
  ];

  it.each(table)('that is %s by %s is %s and leaves it %s', async (from, transition, outcome, state, paid, journal) => {
    await reach[from]!();
    if (transition === 'expire') await money.lapse('r');
    const entries = (await money.journal()).length;
    const before = await money.everything();

    const answer = await money.end('r', transition, { costNano: 400n });
    const ended = state !== 'held' && state !== 'dispatched';
    expect(answer).toEqual({
      outcome,
      state,
      paidNano: paid,
      absorbedNano: 0n,
      availableNano: 1_000_000n - (ended ? paid : 1_000n),
    });
    expect(await money.balances()).toEqual(
      Array(4).fill(ended ? { spent: Number(paid), held: 0 } : { spent: 0, held: 1_000 }),
    );
    expect(await running()).toBe(ended ? '0' : '1');

    if (journal === null) {
      expect(await money.everything()).toEqual(before);
    } else {
      expect(await money.journal()).toHaveLength(entries + 1);
      expect(await last()).toMatchObject({
        kind: journal,
        request: 'r',
        key: 'k',
        campaign: 'c',
        amount: '1000',
        paid: String(paid),
        absorbed: '0',
      });
    }

    const after = await money.everything();
    const again = await money.end('r', transition, { costNano: 400n });
    expect(again).toEqual({ ...answer, outcome: ended ? 'repeated' : outcome });
    expect(await money.everything()).toEqual(after);
  });

  it('that never was is missing, and writes nothing', async () => {
    const before = await money.everything();
    expect(await money.end('nobody', 'post', { costNano: 5n, reply: Buffer.from('x'), strike: true })).toMatchObject({
      outcome: 'missing',
      state: '',
      paidNano: 0n,
    });
    expect(await money.everything()).toEqual(before);
  });

  it('by expire leaves a hold whose lease still runs, as a repeat does', async () => {
    await money.dispatched('r');
    for (let time = 0; time < 2; time++)
      expect(await money.end('r', 'expire', { reply: Buffer.from('x') })).toMatchObject({
        outcome: 'leased',
        state: 'dispatched',
      });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 1_000 }));
  });

  it('is refused for another key or campaign than the hold is of, and moves nothing', async () => {
    await money.dispatched('r');
    const before = await money.everything();
    await expect(money.end('r', 'post', { costNano: 1n, keyId: 'other' })).rejects.toThrow(/another key/);
    await expect(money.end('r', 'void', { campaignId: 'other' })).rejects.toThrow(/another key or campaign/);
    expect(await money.everything()).toEqual(before);
  });

  it('takes its lease and its body away, and keeps the outcome for a time', async () => {
    await money.dispatched('r');
    await money.redis.set(redisKeys.body('r'), 'encrypted');
    await money.end('r', 'post', { costNano: 1n });
    expect(await money.redis.zscore(redisKeys.leases, 'r')).toBeNull();
    expect(await money.redis.exists(redisKeys.body('r'))).toBe(0);
    await money.dispatched('p');
    await money.end('p', 'presume');
    await money.take('v');
    await money.end('v', 'void');
    const minutes = async (requestId: string) =>
      Math.round((await money.redis.pttl(redisKeys.hold(requestId))) / 60_000);
    expect([await minutes('r'), await minutes('p'), await minutes('v')]).toEqual([60, 24 * 60, 10]);
  });

  it.each(['void', 'cancel', 'expire'] as const)(
    'counts what a call without cost leaves among the bytes of its key, once (%s)',
    async (transition) => {
      const bounds = { keyBytesPerHour: 10_000 };
      await money.take('r', { sentBytes: 110 }, bounds);
      if (transition === 'expire') await money.redis.zadd(redisKeys.leases, 1, 'r');
      for (let round = 0; round < 2; round++) await money.end('r', transition);
      expect(await money.window(redisKeys.keyBytes('k'))).toEqual({ requests: 0, tokens: 110 + 4_096 });
    },
  );

  it('counts nothing more of a call that cost something', async () => {
    for (const transition of ['post', 'presume'] as const) {
      await money.dispatched(transition);
      await money.end(transition, transition, { costNano: 1n });
    }
    expect(await money.redis.exists(redisKeys.keyBytes('k'))).toBe(0);
  });

  it('lets calls without cost come as often as the bytes of their key allow', async () => {
    const bounds = { keyBytesPerHour: 10_000 };
    const codes: string[] = [];
    for (const requestId of ['a', 'b', 'c', 'd']) {
      const { code } = await money.take(requestId, { sentBytes: 1_000 }, bounds);
      codes.push(code);
      if (code === 'ok') await money.end(requestId, 'void');
    }
    // 5,096 bytes each, of which the last ones are counted though they are too many.
    expect(codes).toEqual(['ok', 'ok', 'bytes', 'bytes']);
  });

  it('leaves the body of a call that goes on', async () => {
    await money.dispatched('r');
    await money.redis.set(redisKeys.body('r'), 'encrypted');
    await money.end('r', 'cancel');
    expect(await money.redis.exists(redisKeys.body('r'))).toBe(1);
  });

  it('journals the detail as it was given', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 1n, detail: { model: 'm', usage: { input: 3 } } });
    expect(JSON.parse((await last())!.detail!)).toEqual({ model: 'm', usage: { input: 3 } });
  });

  it('tells what the key has left when other calls hold some of it', async () => {
    await money.take('other');
    await money.dispatched('r');
    expect(await money.end('r', 'post', { costNano: 400n })).toMatchObject({ availableNano: 998_600n });
  });
});

describe('a hold of nothing, for a model that costs nothing', () => {
  it.each(['post', 'void', 'presume'] as const)('ends by %s like any other', async (transition) => {
    await money.dispatched('r', { fixedNano: 0n, perUnitNano: 0n });
    expect(await money.end('r', transition)).toMatchObject({ outcome: 'applied', paidNano: 0n });
    expect(await running()).toBe('0');
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 0 }));
  });
});

describe('a cost above the bound', () => {
  it('costs the visitor the bound and the operator the rest', async () => {
    await money.dispatched('r');
    expect(await money.end('r', 'post', { costNano: 1_250n })).toMatchObject({
      outcome: 'applied',
      paidNano: 1_000n,
      absorbedNano: 250n,
    });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 1_000, held: 0 }));
    expect(await last()).toMatchObject({ kind: 'post', paid: '1000', absorbed: '250' });
    expect(await money.end('r', 'post', { costNano: 1_250n })).toMatchObject({
      outcome: 'repeated',
      paidNano: 1_000n,
      absorbedNano: 250n,
    });
  });

  it('ends with the budget of the campaign, although no key pays for it', async () => {
    await money.campaign({ budgetNano: 10_000n });
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 9_000n });
    expect(await money.take('r2')).toMatchObject({ code: 'ok', availableNano: 998_000n });
    await money.end('r2', 'void');
    await money.dispatched('r3');
    await money.end('r3', 'post', { costNano: 2_000n });
    // 10,000 − 2 × 1,000 spent − 9,000 absorbed
    expect(await money.take('r4')).toEqual({
      code: 'insufficient',
      level: 'campaign',
      period: '',
      freeNano: 0n,
      heldNano: 0n,
      needNano: 1_000n,
    });
  });

  it.each([
    ['day', { operatorDayNano: 10_000n }],
    ['total', { operatorTotalNano: 10_000n }],
  ])("ends with the operator's budget (%s)", async (period, bounds) => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 9_001n });
    expect(await money.take('r2', {}, bounds)).toMatchObject({
      code: 'insufficient',
      level: 'operator',
      period,
      freeNano: 999n,
    });
    expect(await money.take('r2')).toMatchObject({ code: 'ok' });
  });

  it('counts once, whatever is repeated, and no further than a script can count', async () => {
    const free = { fixedNano: 0n, perUnitNano: 0n };
    const absorbed = () => money.redis.hget(redisKeys.campaign('c'), 'absorbed');
    await money.dispatched('r', free);
    for (let repeat = 0; repeat < 2; repeat++) await money.end('r', 'post', { costNano: 5n });
    expect(await absorbed()).toBe('5');
    for (const id of ['r2', 'r3']) await money.dispatched(id, free);
    await money.redis.hset(redisKeys.campaign('c'), 'absorbed', Number.MAX_SAFE_INTEGER - 1);
    for (const id of ['r2', 'r3'])
      expect(await money.end(id, 'post', { costNano: 10n ** 24n })).toMatchObject({ outcome: 'applied' });
    expect(await absorbed()).toBe(String(Number.MAX_SAFE_INTEGER));
  });

  it.each([
    [1_000n, 0n],
    [1_250n, 250n],
  ])('of a presumed call, %s, is found by its report without a refund', async (costNano, absorbedNano) => {
    await reach.presumed!();
    expect(await money.end('r', 'post', { costNano })).toMatchObject({
      outcome: 'corrected',
      state: 'posted',
      paidNano: 1_000n,
      absorbedNano,
    });
    expect(await money.end('r', 'post', { costNano })).toMatchObject({
      outcome: 'repeated',
      paidNano: 1_000n,
      absorbedNano,
    });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 1_000, held: 0 }));
  });

  it('never writes what the ledger cannot read, however absurd the report', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 10n ** 24n });
    const { paid, absorbed } = (await last())!;
    expect(paid).toBe('1000');
    expect(BigInt(absorbed!)).toBeGreaterThan(0n);
    expect(BigInt(absorbed!)).toBeLessThanOrEqual(2n ** 53n);
  });

  it('never pays a visitor for a call, however absurd the report', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: -5n });
    expect(await last()).toMatchObject({ paid: '0', absorbed: '0' });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 0 }));
  });
});

describe('the refund of a presumed call', () => {
  it('goes back once at every level', async () => {
    await reach.presumed!();
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 1_000, held: 0 }));
    await money.end('r', 'post', { costNano: 0n });
    await money.end('r', 'post', { costNano: 0n });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 0 }));
    expect(await running()).toBe('0');
  });

  it('goes to the day that paid, although another has begun', async () => {
    await money.take('r');
    await money.redis.hset(redisKeys.hold('r'), 'day', '1');
    await money.start('r');
    await money.end('r', 'presume');
    await money.end('r', 'post', { costNano: 200n });
    expect((await money.balance(`${redisKeys.operatorPrefix}1`)).spent).toBe(200);
  });
});

describe('the windows of an ended call', () => {
  const keyWindow = () => money.window(redisKeys.keyWindow('k'));
  const laneWindow = () => money.window(redisKeys.laneWindow('lane'));

  it('leaves the lane as it was counted where the upstream corrects nothing', async () => {
    await money.take('r');
    await money.start('r', { corrects: false });
    await money.end('r', 'post', { costNano: 1n, usedTokens: 37 });
    expect([await keyWindow(), await laneWindow()]).toEqual([
      { requests: 1, tokens: 37 },
      { requests: 1, tokens: 100 },
    ]);
    expect(await money.redis.exists(redisKeys.ticket('r'))).toBe(0);
  });

  it('gives the even rate of a lane back with its window where the upstream corrects', async () => {
    await money.take('r');
    await money.start('r', { tpm: 600 });
    const until = async () => Number(await money.redis.hget(redisKeys.laneState('lane'), 'tokens_until_ms'));
    const before = await until();
    await money.end('r', 'post', { costNano: 1n, usedTokens: 40 });
    expect(before - (await until())).toBe(6_000);
  });

  it('count what was really used in place of what was reserved', async () => {
    await money.dispatched('r');
    expect([await keyWindow(), await laneWindow()]).toEqual(Array(2).fill({ requests: 1, tokens: 100 }));
    await money.end('r', 'post', { costNano: 1n, usedTokens: 37 });
    await money.end('r', 'post', { costNano: 1n, usedTokens: 12 });
    expect([await keyWindow(), await laneWindow()]).toEqual(Array(2).fill({ requests: 1, tokens: 37 }));
  });

  it('count more than was reserved where more was used', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 1n, usedTokens: 150 });
    expect([await keyWindow(), await laneWindow()]).toEqual(Array(2).fill({ requests: 1, tokens: 150 }));
  });

  it('keep the reservation where nobody knows what was used', async () => {
    await money.dispatched('r');
    await money.end('r', 'presume');
    expect([await keyWindow(), await laneWindow()]).toEqual(Array(2).fill({ requests: 1, tokens: 100 }));
  });

  it('give back the tokens of a call that never reached the lane', async () => {
    await money.take('r');
    await money.end('r', 'cancel');
    expect([await keyWindow(), await laneWindow()]).toEqual([
      { requests: 1, tokens: 0 },
      { requests: 0, tokens: 0 },
    ]);
  });

  it('keep in the lane what a refused attempt cost, for refused requests count too', async () => {
    await reach.deferred!();
    await sleep(5);
    await money.start('r');
    await money.end('r', 'post', { costNano: 1n, usedTokens: 40 });
    expect(await laneWindow()).toEqual({ requests: 2, tokens: 140 });
    expect(await keyWindow()).toEqual({ requests: 1, tokens: 40 });
  });

  it.each([10.5, Number.NaN, Number.POSITIVE_INFINITY, -7])(
    'survive a count of %p: the money moves once and whole',
    async (usedTokens) => {
      await money.dispatched('r');
      await money.end('r', 'post', { costNano: 300n, usedTokens }).catch(() => undefined);
      await money.end('r', 'post', { costNano: 300n, usedTokens }).catch(() => undefined);
      expect(await money.balances()).toEqual(Array(4).fill({ spent: 300, held: 0 }));
      expect(await running()).toBe('0');
    },
  );
});

describe('the last word to the visitor', () => {
  const replies = () => money.redis.xrangeBuffer(redisKeys.reply('door'), '-', '+');

  it('is delivered byte for byte with the end of the hold, once', async () => {
    const reply = randomBytes(4_096);
    await money.dispatched('r');
    for (let time = 0; time < 3; time++) await money.end('r', 'post', { costNano: 400n, reply });
    const delivered = (await replies()) as unknown as [Buffer, Buffer[]][];
    expect(delivered).toHaveLength(1);
    const [, values] = delivered[0]!;
    expect(values.map((value, index) => (index === 9 ? 'payload' : value.toString()))).toEqual([
      'id',
      'r',
      'last',
      '1',
      'available',
      '999600',
      'strikes',
      '0',
      'payload',
      'payload',
    ]);
    expect(values[9]!.equals(reply)).toBe(true);
  });

  it('is not sent where the hold goes on, or another has ended it', async () => {
    const reply = Buffer.from('late');
    await money.dispatched('r');
    await money.end('r', 'cancel', { reply });
    await money.end('r', 'expire', { reply });
    await money.end('r', 'post', { costNano: 1n });
    await money.end('r', 'post', { costNano: 1n, reply });
    await money.end('r', 'void', { reply });
    expect(await replies()).toEqual([]);
  });

  it('waits two minutes for a door that may have died, not for ever', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 1n, reply: Buffer.from('x') });
    const life = await money.redis.pttl(redisKeys.reply('door'));
    expect(life).toBeGreaterThan(100_000);
    expect(life).toBeLessThanOrEqual(120_000);
  });

  it('is not needed', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 1n });
    expect(await money.redis.exists(redisKeys.reply('door'))).toBe(0);
  });
});

describe('a strike', () => {
  const strikes = async () =>
    ((await money.redis.hget(redisKeys.key('k'), 'strike_times')) ?? '').split(' ').filter(Boolean).length;

  it('is counted with the end that brought it, once', async () => {
    await money.take('r');
    await money.end('r', 'void', { strike: true });
    await money.end('r', 'void', { strike: true });
    expect(await strikes()).toBe(1);
  });

  const policy = { cooldownAfter: 2, cooldownMs: 60_000, suspendAfter: 4, windowMs: 3_600_000 };
  const struck = async (id: string, strike: typeof policy | true = policy) => {
    await money.take(id);
    await money.end(id, 'void', { strike, reply: Buffer.from('no') });
    const [status, cooldown] = await money.redis.hmget(redisKeys.key('k'), 'status', 'cooldown_until');
    return { strikes: await strikes(), status, cooling: Number(cooldown ?? 0) > Date.now() };
  };

  it('warns, then makes the key rest, then suspends it, each step in the journal', async () => {
    expect(await struck('r1')).toEqual({ strikes: 1, status: 'active', cooling: false });
    expect(await struck('r2')).toEqual({ strikes: 2, status: 'active', cooling: true });
    expect(await struck('r3')).toEqual({ strikes: 3, status: 'active', cooling: true });
    expect(await struck('r4')).toMatchObject({ strikes: 4, status: 'suspended' });
    expect((await money.take('r5')).code).toBe('suspended');
    const steps = (await money.journal()).filter(({ kind }) => kind === 'strike');
    expect(steps.map(({ request, strikes: count, step }) => [request, count, step])).toEqual([
      ['r1', '1', 'warn'],
      ['r2', '2', 'cooldown'],
      ['r3', '3', 'cooldown'],
      ['r4', '4', 'suspend'],
    ]);
    const replies = (await money.redis.xrange(redisKeys.reply('door'), '-', '+')).map(
      ([, fields]) => fields[fields.indexOf('strikes') + 1],
    );
    expect(replies).toEqual(['1', '2', '3', '4']);
  });

  it('is forgotten with the window', async () => {
    await struck('r1');
    const times = (await money.redis.hget(redisKeys.key('k'), 'strike_times'))!;
    await money.redis.hset(redisKeys.key('k'), 'strike_times', String(Number(times) - 3_600_001));
    expect(await struck('r2')).toMatchObject({ strikes: 1, cooling: false });
  });

  it('has no consequences without a policy, and no more than a hundred are remembered', async () => {
    await money.redis.hset(redisKeys.key('k'), 'strike_times', Array(150).fill('1').join(' '));
    expect(await struck('r1', true)).toEqual({ strikes: 100, status: 'active', cooling: false });
  });

  it('is pardoned with the key', async () => {
    await struck('r1');
    await struck('r2');
    await money.key({ strikesSinceMs: 5 });
    expect(await money.redis.hmget(redisKeys.key('k'), 'strike_times', 'cooldown_until')).toEqual([null, null]);
    await struck('r3');
    await money.key({ strikesSinceMs: 5 });
    expect(await strikes()).toBe(1);
  });

  it('is not counted for an end that did not happen', async () => {
    await money.dispatched('r');
    await money.end('r', 'cancel', { strike: true });
    await money.end('r', 'post', { costNano: 1n });
    expect(await strikes()).toBe(0);
  });
});

describe('the sweep', () => {
  it('finds the holds whose lease has run out, with what ending them takes', async () => {
    await money.take('fresh');
    await money.take('silent', { lane: 'slow', replyTo: 'door-2' });
    await money.dispatched('lost');
    await money.lapse('silent');
    await money.lapse('lost');
    const found = await money.holds.expired(10);
    expect(found.sort((a, b) => a.requestId.localeCompare(b.requestId))).toEqual([
      { requestId: 'lost', keyId: 'k', campaignId: 'c', lane: 'lane', replyTo: 'door', state: 'dispatched' },
      { requestId: 'silent', keyId: 'k', campaignId: 'c', lane: 'slow', replyTo: 'door-2', state: 'held' },
    ]);
    for (const hold of found) await money.holds.end({ ...hold, transition: 'expire', detail: {} });
    expect(await money.holds.expired(10)).toEqual([]);
    expect(await running()).toBe('1');
  });

  it('takes no more at once than it is told', async () => {
    for (const id of ['a', 'b', 'c']) {
      await money.take(id);
      await money.lapse(id);
    }
    expect(await money.holds.expired(2)).toHaveLength(2);
  });

  it('forgets a lease whose hold is gone, so that it cannot block the sweep for ever', async () => {
    await money.redis.zadd(redisKeys.leases, 1, 'ghost');
    expect(await money.holds.expired(1)).toEqual([]);
    expect(await money.redis.zcard(redisKeys.leases)).toBe(0);
  });
});
