import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import type { LaneTable } from '#libs/pacing/lanes.js';
import type { LaneUpstream } from '#libs/pacing/lane.upstreams.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { HoldRequest, LookAnswer, LookRequest, NextCall } from './hold.types.js';
import { laneUpstream, Money } from './money.fixture.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());

const LANE = 'lane';
let upstreams: LaneUpstream[];
let looks: number;
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
  upstreams = [laneUpstream()];
  looks = 0;
});

const line = () => new LaneLine(money.redis, { upstreamsOf: () => upstreams } as unknown as LaneTable);
/** A call in the line, with a body. */
async function enter(requestId: string, hold: Partial<HoldRequest> = {}, ticket: Partial<Ticket> = {}): Promise<void> {
  await money.take(requestId, { body: { encrypted: Buffer.from(`body of ${requestId}`), lifeMs: 60_000 }, ...hold });
  await line().enter({
    requestId,
    keyId: hold.keyId ?? 'k',
    lane: LANE,
    pacedTokens: 100,
    weight: 1,
    facts: {},
    outputs: 1,
    ...ticket,
  } as Ticket);
}
async function answer(changes: Partial<LookRequest> = {}): Promise<LookAnswer> {
  const look = { lane: LANE, count: 10, process: 'p', look: ++looks, isRepeat: false, upstreams };
  return money.holds.next({ ...look, ...changes });
}
async function next(changes: Partial<LookRequest> = {}): Promise<{ waiting: number; calls: NextCall[] }> {
  const looked = await answer(changes);
  if (looked.code !== 'looked') throw new Error('the door is closed');
  return looked;
}
const codes = ({ calls }: { calls: NextCall[] }) => calls.map(({ requestId, start }) => [requestId, start.code]);
const state = (requestId: string) => money.redis.hget(redisKeys.hold(requestId), 'state');
const dispatches = async () => (await money.journal()).filter(({ kind }) => kind === 'dispatch').length;

describe('the next calls of a lane', () => {
  it('begin in one step, in their order, with ticket and body', async () => {
    for (const id of ['a', 'b', 'c']) await enter(id);
    const { calls, waiting } = await next({ count: 2 });
    expect(waiting).toBe(1);
    expect(
      calls.map(({ requestId, ticket, encrypted }) => [requestId, JSON.parse(ticket), encrypted?.toString()]),
    ).toEqual([
      ['a', expect.objectContaining({ requestId: 'a', pacedTokens: 100 }), 'body of a'],
      ['b', expect.objectContaining({ requestId: 'b' }), 'body of b'],
    ]);
    expect(calls[0]!.start).toMatchObject({ code: 'started', attempt: 1, upstream: 'openai', laneRequests: 1 });
    expect(calls[1]!.start).toMatchObject({ laneRequests: 2, laneTokens: 200 });
    expect([await state('a'), await state('b'), await state('c')]).toEqual(['dispatched', 'dispatched', 'held']);
    expect(await money.window(redisKeys.laneWindow(LANE))).toEqual({ requests: 2, tokens: 200 });
    expect(await dispatches()).toBe(2);
    expect(codes(await next())).toEqual([['c', 'started']]);
    expect(await next()).toEqual({ code: 'looked', waiting: 0, calls: [] });
  });

  it('stop at the first that the lane has no room for', async () => {
    upstreams = [laneUpstream({ rpm: 2 })];
    for (const id of ['a', 'b', 'c', 'd']) await enter(id, { maxWaitMs: 300_000 });
    const looked = await next();
    expect(codes(looked)).toEqual([
      ['a', 'started'],
      ['b', 'started'],
      ['c', 'wait'],
    ]);
    expect(looked.waiting).toBe(2);
    expect([await state('c'), await state('d')]).toEqual(['held', 'held']);
  });

  it('of one step use up the even rate one after the other', async () => {
    upstreams = [laneUpstream({ rpm: 60, burstMs: 1_000 })];
    for (const id of ['a', 'b', 'c']) await enter(id);
    // One at once, and one for the second of burst.
    expect(codes(await next())).toEqual([
      ['a', 'started'],
      ['b', 'started'],
      ['c', 'wait'],
    ]);
  });

  it('leave out whom nobody waits for any more, and who gave up gives its turn to another of its key', async () => {
    for (const id of ['a', 'b', 'c']) await enter(id);
    await money.redis.hset(redisKeys.hold('a'), 'state', 'voided');
    await money.redis.del(redisKeys.ticket('b'));
    expect(codes(await next())).toEqual([['c', 'started']]);
    expect(await money.redis.exists(redisKeys.laneWaiting(LANE), redisKeys.laneFair(LANE))).toBe(0);
  });

  it('that are refused do not keep the others from their turns', async () => {
    await money.key({ id: 'gone' });
    await enter('a', { keyId: 'gone' });
    await enter('b');
    await money.key({ id: 'gone', status: 'revoked' });
    const looked = await next();
    expect(codes(looked)).toEqual([
      ['a', 'invalid'],
      ['b', 'started'],
    ]);
    expect(looked.calls[0]!.encrypted).toBeNull();
    expect(looked.waiting).toBe(0);
    expect(await state('a')).toBe('held');
  });

  it('come without a body that Redis lost, or that is large', async () => {
    await enter('lost');
    await enter('large', { body: { encrypted: Buffer.alloc(100_000, 'x'), lifeMs: 60_000 } });
    await money.redis.del(redisKeys.body('lost'));
    const { calls } = await next();
    expect(calls.map(({ encrypted }) => encrypted)).toEqual([null, 'large']);
  });

  it('do not begin before accounting has checked Redis', async () => {
    await enter('a');
    await money.redis.del(redisKeys.epoch);
    expect(await answer()).toEqual({ code: 'recovering' });
    expect(await state('a')).toBe('held');
  });
});

describe('a look whose answer is lost', () => {
  it('gets the same calls again, reserves nothing twice, and begins no others', async () => {
    for (const id of ['a', 'b', 'c']) await enter(id);
    const first = await next({ count: 2, look: 1 });
    for (const id of ['a', 'b']) await money.lapse(id);
    const again = await next({ count: 2, look: 1, isRepeat: true });
    expect(again.calls.map(({ requestId, ticket, encrypted }) => [requestId, ticket, encrypted])).toEqual(
      first.calls.map(({ requestId, ticket, encrypted }) => [requestId, ticket, encrypted]),
    );
    expect(again.calls.map(({ start }) => start)).toMatchObject([
      { code: 'started', attempt: 1, upstream: 'openai' },
      { code: 'started', attempt: 1, upstream: 'openai' },
    ]);
    expect(await money.window(redisKeys.laneWindow(LANE))).toEqual({ requests: 2, tokens: 200 });
    expect(await dispatches()).toBe(2);
    expect(await state('c')).toBe('held');
    expect(Number(await money.redis.zscore(redisKeys.leases, 'a'))).toBeGreaterThan(await redisNowMs(money.redis));
  });

  it('begins nothing where it comes after its repeat, also after a later look, and whatever the repeat found', async () => {
    expect(codes(await next({ look: 1, isRepeat: true }))).toEqual([]);
    await enter('a');
    expect(codes(await next({ look: 1 }))).toEqual([]);
    expect(codes(await next({ look: 2 }))).toEqual([['a', 'started']]);
    await enter('b');
    expect(codes(await next({ look: 1 }))).toEqual([]);
    expect(await state('b')).toBe('held');
    expect(codes(await next({ look: 1, process: 'another' }))).toEqual([['b', 'started']]);
  });

  it('is told which of its calls are presumed since, and gives them back without a ticket', async () => {
    await enter('a');
    await next({ look: 1 });
    await money.lapse('a');
    await money.end('a', 'expire');
    const { calls } = await next({ look: 1, isRepeat: true });
    expect(calls).toEqual([{ requestId: 'a', ticket: '', encrypted: null, start: { code: 'unsent', attempt: 1 } }]);
    expect(await money.holds.voidUnsent('a', 1)).toBe(true);
    expect(await state('a')).toBe('voided');
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 0 }));
    expect(await money.holds.voidUnsent('unknown', 1)).toBe(false);
  });

  it("gets what became of a call that is another's since", async () => {
    await enter('a');
    await next({ look: 1 });
    await money.holds.defer({ requestId: 'a', lane: LANE, slot: 'lane', attempt: 1, freezeMs: 0 });
    expect(codes(await next({ process: 'another' }))).toEqual([['a', 'started']]);
    expect(codes(await next({ look: 1, isRepeat: true }))).toEqual([['a', 'ended']]);
  });
});
