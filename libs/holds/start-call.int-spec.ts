import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Circuits } from '#libs/pacing/circuit.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { LEASE_MS } from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { laneUpstream, Money } from './money.fixture.js';

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

const state = (requestId = 'r') => money.redis.hget(redisKeys.hold(requestId), 'state');
const lane = () => money.window(redisKeys.laneWindow('lane'));
const lease = async (requestId = 'r') => Number(await money.redis.zscore(redisKeys.leases, requestId));
const redisNow = () => redisNowMs(money.redis);
const defer = (attempt: number, freezeMs = 1, requestId = 'r') =>
  money.holds.defer({ requestId, lane: 'lane', slot: 'lane', attempt, freezeMs });

describe('starting a call', () => {
  it('records the dispatch and reserves the lane in one step', async () => {
    await money.take('r');
    expect(await money.start('r')).toMatchObject({ code: 'started', attempt: 1, nowMs: expect.any(Number) });
    expect(await state()).toBe('dispatched');
    expect(await lane()).toEqual({ requests: 1, tokens: 100 });
  });

  it('happens once: who asks again is told that it runs, and may send nothing', async () => {
    await money.take('r');
    await money.start('r');
    const before = await money.everything();
    expect(await money.start('r')).toEqual({ code: 'ended', state: 'dispatched' });
    expect(await money.everything()).toEqual(before);
  });

  it('is answered the same way again to a worker that lost the answer, and reserves nothing twice', async () => {
    await money.take('r');
    await money.start('r', { nonce: 'mine' });
    expect(await money.start('r', { nonce: 'mine' })).toMatchObject({ code: 'started', attempt: 1 });
    expect(await money.start('r', { nonce: "another's" })).toEqual({ code: 'ended', state: 'dispatched' });
    expect(await lane()).toEqual({ requests: 1, tokens: 100 });
  });

  it('renews the lease of a worker that asks again, before the sweep takes it for dead', async () => {
    await money.take('r');
    await money.start('r', { nonce: 'mine' });
    await money.lapse('r');
    await money.start('r', { nonce: 'mine' });
    expect(await lease()).toBeGreaterThan(await redisNow());
  });

  it('that was never heard of and is presumed meanwhile is told as unsent, and its worker has all of it refunded', async () => {
    await money.take('r');
    await money.start('r', { nonce: 'mine' });
    await money.lapse('r');
    await money.end('r', 'expire');
    expect(await money.start('r', { nonce: "another's" })).toEqual({ code: 'ended', state: 'presumed' });
    expect(await money.start('r', { nonce: 'mine' })).toEqual({ code: 'unsent', attempt: 1 });
    await money.end('r', 'void', { dispatched: { amountNano: 1_000n, day: 1, attempt: 1 } });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 0 }));
  });

  it('happens once where two workers have the same job', async () => {
    await money.take('r');
    const answers = await Promise.all(Array.from({ length: 20 }, () => money.start('r')));
    expect(answers.filter(({ code }) => code === 'started')).toHaveLength(1);
    expect(await lane()).toEqual({ requests: 1, tokens: 100 });
  });

  it('renews the lease', async () => {
    await money.take('r');
    await money.lapse('r');
    await money.start('r');
    expect(Math.abs((await lease()) - (await redisNow()) - LEASE_MS)).toBeLessThan(1_000);
  });

  it('is refused for a hold that was voided, and for one that never was', async () => {
    await money.take('r');
    await money.end('r', 'cancel');
    expect(await money.start('r')).toEqual({ code: 'ended', state: 'voided' });
    expect(await money.start('nobody')).toEqual({ code: 'ended', state: 'missing' });
    expect(await lane()).toEqual({ requests: 0, tokens: 0 });
  });

  it('waits for a full lane, for as long as it says, and leaves the hold as it was', async () => {
    await money.take('r1', { maxWaitMs: 120_000 });
    await money.take('r', { maxWaitMs: 120_000 });
    await money.start('r1', { rpm: 1 });
    const before = await money.everything();
    const answer = await money.start('r', { rpm: 1 });
    expect(answer.code).toBe('wait');
    expect(answer.code === 'wait' && answer.waitMs).toBeGreaterThan(58_000);
    expect(answer.code === 'wait' && answer.waitMs).toBeLessThanOrEqual(61_000);
    expect(await money.everything()).toEqual(before);
  });

  it('waits for tokens as for requests', async () => {
    await money.take('r1', { maxWaitMs: 120_000 });
    await money.take('r', { maxWaitMs: 120_000 });
    await money.start('r1', { tpm: 199 });
    expect(await money.start('r', { tpm: 199 })).toMatchObject({ code: 'wait' });
    expect(await money.start('r', { tpm: 200 })).toMatchObject({ code: 'started' });
  });

  it('is late at once where the wait would pass the deadline, not when the deadline has passed', async () => {
    await money.take('r1');
    await money.take('r', { maxWaitMs: 30_000 });
    await money.start('r1', { rpm: 1 });
    const answer = await money.start('r', { rpm: 1 });
    expect(answer).toMatchObject({ code: 'late' });
    expect(answer.code === 'late' && answer.waitMs).toBeGreaterThan(30_000);
    expect(await state()).toBe('held');
  });

  it('starts where the lane is free, though its wait was over: whoever no longer waits has voided the hold', async () => {
    await money.take('r', { maxWaitMs: 0 });
    await sleep(5);
    expect(await money.start('r')).toMatchObject({ code: 'started' });
  });

  it('is too large where it exceeds the whole limit of the lane, and takes exactly the limit', async () => {
    await money.take('r');
    expect(await money.start('r', { tpm: 99 })).toEqual({ code: 'too_large' });
    expect(await state()).toBe('held');
    expect(await money.start('r', { tpm: 100 })).toMatchObject({ code: 'started' });
  });

  it('counts each lane by itself', async () => {
    await money.take('r1');
    await money.take('r');
    await money.start('r1', { lane: 'other', upstreams: [laneUpstream({ slot: 'other', rpm: 1 })] });
    expect(await money.start('r', { rpm: 1 })).toMatchObject({ code: 'started' });
  });

  it('never sends more at once than the lane allows, whoever asks', async () => {
    for (let call = 0; call < 60; call++) await money.take(`r${call}`);
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, call) => money.start(`r${call}`, { rpm: 10, tpm: 700 })),
    );
    expect(answers.filter(({ code }) => code === 'started')).toHaveLength(7);
  });
});

describe('a lane that several upstreams serve', () => {
  const [first, second] = [laneUpstream({ rpm: 1 }), laneUpstream({ name: 'spare', slot: 'lane@spare', tpm: 150 })];
  const start = (requestId: string, tokens = 100, upstreams = [first, second]) =>
    money.start(requestId, { upstreams, tokens });
  const circuits = () => new Circuits(money.redis);
  beforeEach(async () => {
    for (const id of ['r1', 'r2', 'r3']) await money.take(id);
  });

  it('takes them in their order, as long as they have room', async () => {
    expect(await start('r1')).toMatchObject({ code: 'started', upstream: 'openai', failures: 0 });
    expect(await start('r2')).toMatchObject({ code: 'started', upstream: 'spare', laneTokens: 100 });
    const third = await start('r3');
    expect(third).toMatchObject({ code: 'late', why: '' });
    // Its end is owed to whom it was sent to.
    await money.end('r2', 'post', { costNano: 5n });
    expect(JSON.stringify(await money.redis.xrevrange(redisKeys.journal, '+', '-', 'COUNT', 1))).toContain(
      '"upstream","spare"',
    );
  });

  it('passes over one that the call is too large for, and refuses what is too large for all', async () => {
    expect(await start('r1', 200)).toMatchObject({ code: 'started', upstream: 'openai' });
    expect(await start('r2', 200)).toMatchObject({ code: 'late' });
    expect(await start('r2', 200, [second])).toEqual({ code: 'too_large' });
  });

  it('goes on with another where one was frozen, or is left alone', async () => {
    await start('r1');
    await money.holds.defer({ requestId: 'r1', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 5_000 });
    expect(await start('r1')).toMatchObject({ code: 'started', attempt: 2, upstream: 'spare' });
    expect(await circuits().failed('openai', 'account', true)).toBeGreaterThan(2_000);
    expect(await start('r2', 10)).toMatchObject({ code: 'started', upstream: 'spare' });
  });

  it('says why, where none is left', async () => {
    for (const name of ['openai', 'spare']) await circuits().failed(name, 'account', true);
    expect(await start('r1')).toMatchObject({ code: 'wait', why: 'account' });
    await money.redis.flushall();
    await money.reset();
    await money.campaign();
    await money.key();
    await money.take('r1');
    for (let n = 0; n < 4; n++) expect(await circuits().failed('openai', 'failing', false)).toBe(0);
    expect(await start('r1', 100, [first])).toMatchObject({ code: 'started', failures: 4 });
    await money.end('r1', 'void');
    await money.take('r2');
    expect(await circuits().failed('openai', 'failing', false)).toBeGreaterThan(200);
    expect(await start('r2', 100, [laneUpstream()])).toMatchObject({ code: 'wait', why: 'failing' });
  });

  it('lets one call try who failed, twice as late each time, and all of them once that went well', async () => {
    const one = laneUpstream();
    let last = 0;
    for (let n = 0; n < 6; n++) last = await circuits().failed('openai', 'failing', false);
    expect(last).toBeGreaterThan(400);
    await sleep(last + 5);
    expect(await start('r1', 1, [one])).toMatchObject({ code: 'started', failures: 6 });
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'wait', why: 'failing' });
    await circuits().well('openai');
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'started', failures: 0 });
    for (let n = 0; n < 30; n++) last = await circuits().failed('openai', 'failing', false);
    expect(last).toBeLessThanOrEqual(5_000);
    expect(last).toBeGreaterThanOrEqual(2_500);
  });

  it('is not left alone for the failures of one key, however many, but for those of three', async () => {
    const one = laneUpstream();
    const failed = (keyId: string, campaignId = 'c') =>
      circuits().failed('openai', 'failing', false, { keyId, campaignId, lanes: ['other', 'lane'] });
    for (let n = 0; n < 50; n++) expect(await failed('hostile')).toBe(0);
    expect(await start('r1', 1, [one])).toMatchObject({ code: 'started', failures: 2 });
    for (const keyId of ['a', 'a', 'a']) expect(await failed(keyId)).toBe(0);
    expect(await failed('b')).toBeGreaterThan(200);
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'wait', why: 'failing' });
  });

  it('is not kept closed by the one key whose calls always fail: another call tries it at once', async () => {
    const one = laneUpstream();
    const failed = (keyId: string, campaignId = 'c') =>
      circuits().failed('openai', 'failing', false, { keyId, campaignId, lanes: ['other', 'lane'] });
    for (const keyId of ['hostile', 'hostile', 'a', 'a']) await failed(keyId);
    await sleep((await failed('b')) + 5);
    expect(await start('r1', 1, [one])).toMatchObject({ code: 'started' });
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'wait', why: 'failing' });
    expect(await failed('hostile')).toBe(0);
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'started' });
  });

  it('is not left alone for the failures of one campaign, however many its keys, while another one calls it', async () => {
    const one = laneUpstream();
    const failed = (keyId: string, campaignId = 'hostile') =>
      circuits().failed('openai', 'failing', false, { keyId, campaignId, lanes: ['other', 'lane'] });
    await start('r1', 1, [one]);
    for (let n = 0; n < 60; n++) expect(await failed(`key_${n}`)).toBe(0);
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'started', failures: 3 });
    expect(await failed('k', 'c')).toBe(0);
    expect(await failed('k', 'c')).toBeGreaterThan(200);
  });

  it('is tried by others soon, where a campaign whose own requests failed tries it first', async () => {
    const one = laneUpstream();
    let last = 0;
    for (const keyId of ['a', 'b', 'd', 'e', 'f'])
      last = await circuits().failed('openai', 'failing', false, { keyId, campaignId: 'c', lanes: [] });
    await sleep(last + 5);
    expect(await start('r1', 1, [one])).toMatchObject({ code: 'started' });
    expect(await start('r2', 1, [one])).toMatchObject({ code: 'wait', why: 'failing' });
    const triedMs = Number(await money.redis.hget(redisKeys.circuit('openai'), 'probe_until_ms')) - (await redisNow());
    expect(triedMs).toBeLessThanOrEqual(500);
  });

  it('is left alone for the failures of the one campaign that calls it', async () => {
    await start('r1', 1, [laneUpstream()]);
    const opened: number[] = [];
    for (const keyId of ['a', 'b', 'd', 'e', 'f'])
      opened.push(await circuits().failed('openai', 'failing', false, { keyId, campaignId: 'c', lanes: ['lane'] }));
    expect(opened.slice(0, 4)).toEqual([0, 0, 0, 0]);
    expect(opened[4]).toBeGreaterThan(200);
  });

  it('keeps few names of keys, however many fail', async () => {
    for (let n = 0; n < 200; n++)
      await circuits().failed('openai', 'failing', false, {
        keyId: `key_${n}`,
        campaignId: `campaign_${n}`,
        lanes: [],
      });
    expect(await money.redis.hlen(redisKeys.circuit('openai'))).toBeLessThan(60);
    expect(await money.redis.pttl(redisKeys.circuit('openai'))).toBeGreaterThan(0);
  });

  it('goes last for a call that failed there, and first again where no other has room', async () => {
    const both = [laneUpstream(), laneUpstream({ name: 'spare', slot: 'lane@spare', rpm: 1 })];
    await start('r1', 1, both);
    const retry = (requestId: string) =>
      money.holds.defer({ requestId, lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 0, avoided: 'openai' });
    await retry('r1');
    expect(await start('r1', 1, both)).toMatchObject({ code: 'started', attempt: 2, upstream: 'spare' });
    expect(await start('r2', 1, both)).toMatchObject({ code: 'started', upstream: 'openai' });
    await retry('r2');
    expect(await start('r2', 1, both)).toMatchObject({ code: 'started', attempt: 2, upstream: 'openai' });
  });

  it('keeps the limits of a day beside those of a minute', async () => {
    const daily = laneUpstream({ rpd: 2, tpd: 1_000 });
    expect(await start('r1', 400, [daily])).toMatchObject({ code: 'started' });
    expect(await start('r2', 700, [daily])).toMatchObject({ code: 'late' });
    expect(await start('r2', 600, [daily])).toMatchObject({ code: 'started' });
    const third = await start('r3', 1, [daily]);
    expect(third.code === 'late' && third.waitMs).toBeGreaterThan(23 * 3_600_000);
    expect(await start('r3', 1_001, [daily])).toEqual({ code: 'too_large' });
  });
});

describe('a call that the upstream refused without doing work', () => {
  beforeEach(() => money.dispatched('r'));

  it('is held again with its money, and its lane is frozen for as long as was asked', async () => {
    await money.take('other', { maxWaitMs: 120_000 });
    expect(await defer(1, 20_000)).toBe(true);
    expect(await state()).toBe('held');
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 2_000 }));
    const answer = await money.start('other');
    expect(answer.code).toBe('wait');
    expect(answer.code === 'wait' && answer.waitMs).toBeGreaterThan(19_000);
    expect(answer.code === 'wait' && answer.waitMs).toBeLessThanOrEqual(20_000);
  });

  it('starts again as the next attempt once the lane has thawed', async () => {
    await defer(1, 300);
    expect(await money.start('r')).toMatchObject({ code: 'wait' });
    await sleep(310);
    expect(await money.start('r')).toMatchObject({ code: 'started', attempt: 2 });
  });

  it('is answered the same when the worker repeats itself, and frozen no longer for it', async () => {
    await defer(1, 1_000);
    const before = await money.everything();
    const frozen = await money.redis.hget(redisKeys.laneWindow('lane'), 'frozen_until_ms');
    expect(await defer(1, 60_000)).toBe(true);
    expect(await money.redis.hget(redisKeys.laneWindow('lane'), 'frozen_until_ms')).toBe(frozen);
    expect(await money.everything()).toEqual(before);
  });

  it('is not given back by a worker whose attempt it no longer is', async () => {
    await defer(1);
    await sleep(3);
    await money.start('r');
    expect(await defer(1)).toBe(false);
    expect(await state()).toBe('dispatched');
  });

  it('is not given back before it was sent, after it ended, or when it never was', async () => {
    await money.take('fresh');
    expect(await defer(1, 1, 'fresh')).toBe(false);
    await money.end('r', 'post', { costNano: 1n });
    expect(await defer(1)).toBe(false);
    expect(await defer(1, 1, 'nobody')).toBe(false);
    expect(await state()).toBe('posted');
  });

  it('keeps the longer of two freezes, and none for longer than two minutes', async () => {
    await money.take('other', { maxWaitMs: 600_000 });
    await money.start('other');
    await defer(1, 1e12);
    await money.holds.defer({ requestId: 'other', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 5_000 });
    const answer = await money.start('other');
    expect(answer.code === 'wait' && answer.waitMs).toBeGreaterThan(119_000);
    expect(answer.code === 'wait' && answer.waitMs).toBeLessThanOrEqual(120_000);
    expect(await money.redis.pttl(redisKeys.laneWindow('lane'))).toBeLessThanOrEqual(121_500);
  });

  it("freezes nothing, and is in nobody's way, where only it must wait", async () => {
    await money.take('other');
    const alone = { requestId: 'r', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 0 };
    expect(await money.holds.defer({ ...alone, joins: false })).toBe(true);
    expect(await state()).toBe('held');
    expect(await money.redis.zscore(redisKeys.laneWaiting('lane'), 'r')).toBeNull();
    expect(await money.start('other')).toMatchObject({ code: 'started' });
    const journal = (await money.journal()).length;
    expect(await money.holds.defer(alone)).toBe(true);
    expect(await money.redis.zscore(redisKeys.laneWaiting('lane'), 'r')).not.toBeNull();
    expect((await money.journal()).length).toBe(journal);
    expect(await money.start('r')).toMatchObject({ code: 'started', attempt: 2 });
  });

  it('does not come back into the line after the visitor left meanwhile', async () => {
    const alone = { requestId: 'r', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 0 };
    await money.holds.defer({ ...alone, joins: false });
    await money.end('r', 'void');
    expect(await money.holds.defer(alone)).toBe(false);
    expect(await money.redis.zscore(redisKeys.laneWaiting('lane'), 'r')).toBeNull();
  });

  it('renews its lease while it waits', async () => {
    await money.lapse('r');
    await defer(1);
    expect(await lease()).toBeGreaterThan(await redisNow());
  });
});

describe('a call whose key is withdrawn while it waits', () => {
  it.each([
    ['revoked', () => money.key({ status: 'revoked' }), 'invalid'],
    ['expired', () => money.key({ expiresMs: 1 }), 'invalid'],
    ['suspended', () => money.key({ status: 'suspended' }), 'suspended'],
    ['in a closed campaign', () => money.campaign({ status: 'closed' }), 'invalid'],
  ] as const)('is not sent, and reserves nothing: %s', async (_, withdraw, code) => {
    await money.take('r');
    await withdraw();
    expect(await money.start('r')).toEqual({ code });
    expect([await state(), await lane()]).toEqual(['held', { requests: 0, tokens: 0 }]);
  });
});
