import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Door } from './door.js';
import { HoldStore } from './hold.store.js';
import type { CallClaim, EndRequest, KnownHold } from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

let money: Money;
let door: Door;
beforeAll(async () => {
  money = await Money.start();
  door = new Door(money.redis);
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key({ budgetNano: 5_000n });
});

const DAY = 20_780;
const claim = (requestId: string, changes: Partial<CallClaim> = {}): CallClaim => ({
  requestId,
  keyId: 'k',
  campaignId: 'c',
  lane: 'lane',
  replyTo: 'door',
  amountNano: 1_000n,
  day: DAY,
  attempt: 1,
  ...changes,
});
const known = (requestId: string, changes: Partial<KnownHold> = {}): KnownHold => ({
  ...claim(requestId),
  state: 'held',
  paidNano: 0n,
  absorbedNano: 0n,
  ...changes,
});
const workerEnd = (requestId: string, transition: EndRequest['transition'], costNano: bigint) =>
  money.end(requestId, transition, { costNano, dispatched: { amountNano: 1_000n, day: DAY, attempt: 1 } });
const state = (requestId: string) => money.redis.hget(redisKeys.hold(requestId), 'state');
const keyBalance = () => money.balance(redisKeys.key('k'));
const kinds = async () => (await money.journal()).map(({ kind }) => kind);

describe('the door', () => {
  /** Every script that moves money, or lets one in, and what it says where it may not. */
  const scripts: [string, () => Promise<unknown>, unknown, boolean][] = [
    ['read-key', () => money.holds.readKey('token-of-k'), { code: 'recovering' }, false],
    ['take-hold', () => money.take('new'), { code: 'recovering' }, false],
    ['start-call', () => money.start('held'), { code: 'recovering' }, false],
    ['end-hold', () => money.end('held', 'void'), expect.objectContaining({ outcome: 'recovering' }), true],
    ['claim-call', () => money.holds.claim(claim('lost')), 'recovering', true],
    [
      'defer-call',
      () => money.holds.defer({ requestId: 'sent', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 1 }),
      'recovering',
      true,
    ],
  ];
  beforeEach(async () => {
    await money.take('held');
    await money.dispatched('sent');
  });

  it.each(scripts)(
    'keeps everybody out while it is closed, or was opened for another run of Redis: %s',
    async (_, call, refusal) => {
      await door.close();
      const before = await money.everything();
      expect(await call()).toEqual(refusal);
      expect(await money.everything()).toEqual(before);
      await money.redis.set(redisKeys.epoch, 'open another-run 7');
      expect(await call()).toEqual(refusal);
    },
  );

  it.each(scripts)(
    'lets calls end and be claimed while it settles, and none begin: %s',
    async (_, call, refusal, settles) => {
      await door.set('settling', 2);
      if (settles) expect(await call()).not.toEqual(refusal);
      else expect(await call()).toEqual(refusal);
    },
  );

  it('leaves leases to be renewed while it settles: nobody is taken for dead yet', async () => {
    await money.lapse('sent');
    await door.set('settling', 2);
    expect((await money.end('sent', 'expire')).outcome).toBe('leased');
    await door.set('open', 2);
    expect((await money.end('sent', 'expire')).outcome).toBe('applied');
  });
});

describe('a call that Redis lost', () => {
  it('is claimed by its worker: held and dispatched again, and journalled once', async () => {
    expect(await money.holds.claim(claim('lost'))).toBe('claimed');
    expect(await money.holds.claim(claim('lost'))).toBe('known');
    expect([await state('lost'), await keyBalance()]).toEqual(['dispatched', { spent: 0, held: 1_000 }]);
    expect(await kinds()).toEqual(['hold', 'dispatch']);
    await workerEnd('lost', 'post', 400n);
    expect(await keyBalance()).toEqual({ spent: 400, held: 0 });
  });

  it('holds no more than is free: what it costs beyond is the operator’s', async () => {
    await money.take('other', { fixedNano: 4_400n, perUnitNano: 0n });
    await money.holds.claim(claim('lost'));
    expect(await keyBalance()).toEqual({ spent: 0, held: 5_000 });
    expect(await workerEnd('lost', 'post', 900n)).toMatchObject({ paidNano: 600n, absorbedNano: 300n });
  });

  it.each(['post', 'presume'] as const)(
    'is booked by its end where nobody claimed it (%s), from its worker only',
    async (transition) => {
      expect((await money.end('lost', transition, { costNano: 400n })).outcome).toBe('missing');
      expect(await kinds()).toEqual([]);
      const paid = transition === 'post' ? 400n : 1_000n;
      expect(await workerEnd('lost', transition, 400n)).toMatchObject({ outcome: 'applied', paidNano: paid });
      expect(await kinds()).toEqual(['hold', 'dispatch', transition]);
      expect(await keyBalance()).toEqual({ spent: Number(paid), held: 0 });
    },
  );

  it('needs no end where its worker did nothing', async () => {
    expect((await workerEnd('lost', 'void', 0n)).outcome).toBe('missing');
    expect(await kinds()).toEqual([]);
  });
});

describe('a hold whose dispatch alone is lost', () => {
  beforeEach(() => money.take('held'));

  it('is dispatched as soon as its worker says so, by a claim or by its end, and is not sent again', async () => {
    await money.take('ended');
    expect(await money.holds.claim(claim('held'))).toBe('claimed');
    expect(await money.start('held')).toMatchObject({ code: 'ended' });
    expect(await workerEnd('held', 'post', 400n)).toMatchObject({ outcome: 'applied', paidNano: 400n });
    expect(await workerEnd('ended', 'post', 300n)).toMatchObject({ outcome: 'applied', paidNano: 300n });
    expect(await keyBalance()).toEqual({ spent: 700, held: 0 });
    expect(await kinds()).toEqual(['hold', 'hold', 'dispatch', 'post', 'dispatch', 'post']);
  });

  it('is not the hold of a call that its worker put back', async () => {
    await money.dispatched('sent');
    await money.holds.defer({ requestId: 'sent', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 0 });
    expect(await money.holds.claim(claim('sent'))).toBe('known');
    expect((await workerEnd('sent', 'post', 400n)).outcome).toBe('refused');
    expect(await state('sent')).toBe('held');
  });
});

describe('a hold out of the ledger', () => {
  it('comes back with a lease and without moving money, unless Redis has it', async () => {
    await money.take('here');
    const before = await money.everything();
    await money.holds.restore(known('here', { amountNano: 7n }));
    expect(await money.everything()).toEqual(before);
    await money.holds.restore(known('back'));
    expect([await state('back'), await keyBalance(), await kinds()]).toEqual([
      'held',
      { spent: 0, held: 1_000 },
      ['hold'],
    ]);
    expect((await money.end('back', 'expire')).outcome).toBe('leased');
  });

  it('that was only known as held is dispatched as soon as its worker says so, by a claim or by its end', async () => {
    for (const id of ['claimed', 'ended', 'unsent']) await money.holds.restore(known(id));
    await money.redis.hset(redisKeys.key('k'), 'held', 3_000);
    expect(await money.holds.claim(claim('claimed'))).toBe('claimed');
    expect(await workerEnd('ended', 'post', 300n)).toMatchObject({ outcome: 'applied', paidNano: 300n });
    expect(await kinds()).toEqual(['dispatch', 'dispatch', 'post']);
    // Not from anybody else: it was never sent.
    expect((await money.end('unsent', 'post', { costNano: 300n })).outcome).toBe('refused');
  });

  it('that had ended answers a repeat with its first outcome', async () => {
    await money.holds.restore(known('done', { state: 'posted', paidNano: 300n }));
    expect(await workerEnd('done', 'post', 999n)).toMatchObject({
      outcome: 'repeated',
      state: 'posted',
      paidNano: 300n,
    });
    await money.holds.restore(known('guessed', { state: 'presumed', paidNano: 1_000n }));
    await money.redis.hset(redisKeys.key('k'), 'spent', 1_000);
    expect(await workerEnd('guessed', 'post', 200n)).toMatchObject({ outcome: 'corrected', paidNano: 200n });
  });
});

describe('the last ends of a worker', () => {
  it('are said again to a Redis that lost them, and change nothing in one that did not', async () => {
    const worker = new HoldStore(money.redis);
    const end = {
      ...claim('r'),
      transition: 'post' as const,
      costNano: 250n,
      detail: {},
      dispatched: { amountNano: 1_000n, day: DAY, attempt: 1 },
    };
    await money.dispatched('r');
    const before = await money.redis.hgetall(redisKeys.key('k'));
    await worker.end(end);
    const settled = await money.everything();
    expect(await worker.replayEnds()).toBe('replayed');
    expect(await money.everything()).toEqual(settled);
    // As if hold, end and balances of the last second were gone.
    await money.redis.del(redisKeys.hold('r'), redisKeys.journal);
    await money.redis.hset(redisKeys.key('k'), { ...before, held: '0' });
    await worker.replayEnds();
    expect(await keyBalance()).toEqual({ spent: 250, held: 0 });
    expect(await kinds()).toEqual(['hold', 'dispatch', 'post']);
    await door.close();
    expect(await worker.replayEnds()).toBe('recovering');
  });
});

describe('a Redis without memory', () => {
  it('takes no hold and changes nothing, and still lets calls end', async () => {
    await money.dispatched('sent');
    await money.redis.config('SET', 'maxmemory', '1');
    try {
      await expect(money.take('new')).rejects.toThrow('OOM');
      expect(await keyBalance()).toEqual({ spent: 0, held: 1_000 });
      expect((await money.end('sent', 'post', { costNano: 100n })).outcome).toBe('applied');
    } finally {
      await money.redis.config('SET', 'maxmemory', '0');
    }
    expect(await keyBalance()).toEqual({ spent: 100, held: 0 });
  });
});
