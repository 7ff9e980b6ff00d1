import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { configFileSchema } from '#libs/config/config-file.js';
import type { CheckEvent } from '#libs/contracts/audit.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { redisKeys } from '#libs/redis/keys.js';
import { laneUpstream, Money } from '#libs/holds/money.fixture.js';
import { LaneLine } from './lane-line.js';
import { LaneTable } from './lanes.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  for (const id of ['k', 'a', 'b', 'c']) await money.key({ id });
});

const lineOf = (lane: object): LaneLine =>
  new LaneLine(money.redis, new LaneTable(configFileSchema.parse({ lanes: { lane } })));
const free = () => lineOf({});
/** An answer of this account's upstream. */
const ANSWER = { account: 'this', answered: true };

const ticket = (requestId: string, keyId: string, changes: Partial<Ticket> = {}): Ticket => ({
  ...{
    requestId,
    keyId,
    campaignId: 'c',
    replyTo: 'door',
    model: 'm',
    lane: 'lane',
    stream: false,
    facts: {},
    outputs: 1,
    inputTokens: 10,
  },
  ...{
    pacedTokens: 100,
    weight: 1,
    patienceMs: 30_000,
    capTokens: 90,
    capLowered: false,
    feeNano: '0',
    tierPercent: 100,
    heldNano: '1000',
    day: 20_780,
  },
  ...{
    price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
    keepAnswer: false,
    inputVerdict: 'pass',
    acceptedMs: 0,
  },
  policy: { input: 'off', output: 'off', thresholds: {}, onUnavailable: 'closed' },
  ...changes,
});

async function enter(
  line: LaneLine,
  requestId: string,
  keyId: string,
  changes: Partial<Ticket> = {},
  maxWaitMs = 30_000,
) {
  await money.take(requestId, { keyId, maxWaitMs });
  return line.enter(ticket(requestId, keyId, changes));
}
/** Serves so many calls, and says whose they were. */
async function served(line: LaneLine, count: number, limits = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const [head] = await line.heads('lane', 1);
    if (!head) break;
    const { requestId, keyId, pacedTokens } = head;
    const start = await money.start(requestId, { keyId, tokens: pacedTokens, ...limits });
    if (start.code !== 'started') break;
    ids.push(requestId);
  }
  return ids;
}

describe('who waits for a lane', () => {
  it('is served in the order of arrival where all are of one key', async () => {
    const line = free();
    for (const id of ['r1', 'r2', 'r3']) expect(await enter(line, id, 'a')).toMatchObject({ code: 'entered' });
    expect(await served(line, 9)).toEqual(['r1', 'r2', 'r3']);
    expect(await line.heads('lane', 5)).toEqual([]);
    expect(await money.redis.exists(redisKeys.laneFair('lane'))).toBe(0);
  });

  it('has its verdicts in the record before anybody can serve it', async () => {
    const line = lineOf({ rpm: 60 });
    await money.take('r1', { keyId: 'a' });
    const check = { kind: 'check', id: 'chk_1' } as unknown as CheckEvent;
    expect(await line.enter(ticket('r1', 'a'), [{ event: check, encrypted: null }])).toEqual({
      code: 'entered',
      before: 0,
      waitMs: 0,
    });
    const [[, flat]] = (await money.redis.xrange(redisKeys.audit, '-', '+')) as [[string, string[]]];
    expect(JSON.parse(flat[flat.indexOf('event') + 1]!)).toEqual(check);
    expect(await line.look('lane')).toMatchObject({ waitingCalls: 1, upstreams: [{ rpm: 60 }] });
  });

  it('takes turns by key, whatever number of calls each has', async () => {
    const line = free();
    for (let n = 0; n < 10; n++) await enter(line, `a${n}`, 'a');
    for (let n = 0; n < 3; n++) await enter(line, `b${n}`, 'b');
    expect(await served(line, 8)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2', 'a3', 'a4']);
  });

  it('does not slip past the one that stands first', async () => {
    const line = free();
    for (const id of ['r1', 'r2']) await enter(line, id, 'a');
    expect((await line.heads('lane', 9)).map(({ requestId }) => requestId)).toEqual(['r1', 'r2']);
    expect(await money.start('r2', { keyId: 'a' })).toMatchObject({ code: 'wait' });
    expect([(await money.start('r1', { keyId: 'a' })).code, (await money.start('r2', { keyId: 'a' })).code]).toEqual([
      'started',
      'started',
    ]);
  });

  it('is passed over while its key, or its campaign, gets no place in a process, and keeps its turn', async () => {
    const line = free();
    const [keys, campaigns] = [['a'], ['other']];
    await money.campaign({ id: 'other', slug: 'other' });
    await money.key({ id: 'o', campaignId: 'other' });
    for (let n = 0; n < 300; n++) await enter(line, `a${n}`, 'a');
    await money.take('o0', { keyId: 'o', campaignId: 'other' });
    await line.enter(ticket('o0', 'o', { campaignId: 'other' }));
    await enter(line, 'b0', 'b');
    await enter(line, 'b1', 'b');
    const ids = async (crowd?: { keys?: string[]; campaigns?: string[] }) =>
      (await line.heads('lane', 3, { keys: [], campaigns: [], ...crowd })).map(({ requestId }) => requestId);
    expect(await ids()).toEqual(['a0', 'b0', 'o0']);
    expect(await ids({ keys })).toEqual(['b0', 'o0', 'b1']);
    expect(await ids({ keys, campaigns })).toEqual(['b0', 'b1']);
    expect(await ids({ campaigns: ['c', 'other'] })).toEqual([]);
    expect(await money.start('b0', { keyId: 'b' })).toMatchObject({ code: 'wait' });
    expect(await money.start('b1', { keyId: 'b', overtakes: { behind: 'b0' } })).toMatchObject({ code: 'wait' });
    expect(await money.start('b0', { keyId: 'b', overtakes: { behind: null } })).toMatchObject({ code: 'started' });
    expect(await money.start('b1', { keyId: 'b', overtakes: { behind: 'b0' } })).toMatchObject({ code: 'started' });
    expect(await ids()).toEqual(['a0', 'o0', 'a1']);
  });

  it('is passed over where another model draws for it, while a process knows that there are no images', async () => {
    const line = free();
    const drawing = [{ name: 'openai', slot: 'pictures', ipm: 1 }];
    for (const id of ['r1', 'r2']) await enter(line, id, 'a', { pacedUnits: { images: 1, drawing } });
    await enter(line, 'r3', 'a');
    const ids = async (drawing: boolean) =>
      (await line.heads('lane', 3, { keys: [], campaigns: [], drawing })).map(({ requestId }) => requestId);
    expect(await ids(true)).toEqual(['r3']);
    expect(await ids(false)).toEqual(['r1', 'r2', 'r3']);
    const deferred = { requestId: 'r1', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 0 };
    expect(await money.start('r1', { keyId: 'a', units: { images: 1, drawing } })).toMatchObject({ code: 'started' });
    expect(await money.holds.defer(deferred)).toBe(true);
    expect([await ids(false), await ids(true)]).toEqual([['r1', 'r2', 'r3'], ['r3']]);
  });

  it('is not told to wait for calls that wait only for a place', async () => {
    const line = lineOf({ rpm: 60, burst_seconds: 1 });
    for (let n = 0; n < 25; n++) await enter(line, `a${n}`, 'a');
    for (let n = 0; n < 25; n++) {
      await enter(line, `b${n}`, 'b');
      const [head] = await line.heads('lane', 1, { keys: ['a'], campaigns: [] });
      expect(head?.requestId).toBe(`b${n}`);
      await money.start(`b${n}`, { keyId: 'b', overtakes: { behind: null } });
    }
    await enter(line, 'c0', 'c');
    await line.heads('lane', 1, { keys: ['a'], campaigns: [] });
    const [place] = await line.places('lane', ['c0']);
    expect(place!.before).toBeLessThanOrEqual(1);
  });

  it('that comes anew waits for at most one call of each active key', async () => {
    const line = free();
    for (let n = 0; n < 50; n++) {
      await enter(line, `a${n}`, 'a');
      await enter(line, `b${n}`, 'b');
    }
    await served(line, 21);
    await enter(line, 'new', 'c');
    const next = await served(line, 3);
    expect(next).toContain('new');
  });

  it('has a share by weight, and by what its calls take', async () => {
    const line = free();
    for (let n = 0; n < 40; n++) {
      await enter(line, `a${n}`, 'a', { weight: 2 });
      await enter(line, `b${n}`, 'b');
    }
    const first = await served(line, 30);
    expect(first.filter((id) => id.startsWith('a'))).toHaveLength(20);
    await money.reset();
    await money.campaign();
    for (const id of ['a', 'b']) await money.key({ id });
    for (let n = 0; n < 60; n++) {
      await enter(line, `a${n}`, 'a', { pacedTokens: 99_000 });
      await enter(line, `b${n}`, 'b', { pacedTokens: 9_000 });
    }
    expect((await served(line, 44)).filter((id) => id.startsWith('a'))).toHaveLength(4);
  });

  it('is told where it stands, and how long it will take', async () => {
    const line = lineOf({ rpm: 60, burst_seconds: 1 });
    expect(await enter(line, 'r1', 'a')).toEqual({ code: 'entered', before: 0, waitMs: 0 });
    expect(await enter(line, 'r2', 'a')).toMatchObject({ code: 'entered', before: 1, waitMs: 0 });
    expect(await enter(line, 'r3', 'a')).toMatchObject({ code: 'entered', before: 2 });
    const [first, , third, nobody] = await line.places('lane', ['r1', 'r2', 'r3', 'nobody']);
    expect([first, nobody]).toEqual([{ before: 0, waitMs: 0 }, null]);
    expect(third!.before).toBe(2);
    expect(third!.waitMs).toBeGreaterThan(900);
    expect(third!.waitMs).toBeLessThanOrEqual(1_000);
    expect(await line.look('lane')).toMatchObject({
      waitingCalls: 3,
      waitingTokens: 300,
      nextId: 'r1',
      upstreams: [{ rpm: 60 }],
    });
  });

  it('is refused at once where its turn would come later than it may wait, and changes nothing', async () => {
    const line = lineOf({ rpm: 60, burst_seconds: 1 });
    for (let n = 0; n < 10; n++) await enter(line, `a${n}`, 'a');
    const { oldestMs: _, ...before } = await line.look('lane');
    const late = await enter(line, 'late', 'a', {}, 5_000);
    expect(late).toMatchObject({ code: 'late', before: 10 });
    expect(late.code === 'late' && late.waitMs).toBeGreaterThan(8_000);
    expect(await line.places('lane', ['late'])).toEqual([null]);
    expect(await line.look('lane')).toMatchObject(before);
    // Another key's turn comes sooner.
    expect(await enter(line, 'b', 'b', {}, 5_000)).toMatchObject({ code: 'entered', before: 0 });
  });

  it('is refused at once where it is larger than the whole limit of every upstream', async () => {
    expect(await enter(lineOf({ tpm: 99 }), 'r1', 'a')).toEqual({ code: 'too_large' });
    expect(await enter(lineOf({ tpd: 99 }), 'r2', 'a')).toEqual({ code: 'too_large' });
    expect(await enter(lineOf({ tpm: 100, tpd: 100 }), 'r3', 'a')).toMatchObject({ code: 'entered' });
  });

  it('is looked at with how long the first of them has waited, and what each campaign got', async () => {
    const line = free();
    await enter(line, 'r1', 'a');
    await sleep(30);
    const between = performance.now();
    for (const id of ['r2', 'r3']) await enter(line, id, 'b');
    expect((await line.look('lane')).oldestMs).toBeGreaterThanOrEqual(29);
    await served(line, 1);
    // Now the first is one that entered after `between`, by a clock that may be a millisecond off.
    expect((await line.look('lane')).oldestMs).toBeLessThanOrEqual(performance.now() - between + 1);
    // What was got this minute shows in the next.
    const minute = Math.floor(Date.now() / 60_000);
    await money.redis.hset(redisKeys.laneShares('lane', minute - 1), 'c', 30, 'd', 10);
    expect([...(await line.look('lane')).shares]).toEqual([
      ['c', 30],
      ['d', 10],
    ]);
    expect(await money.redis.hgetall(redisKeys.laneShares('lane', minute))).toEqual({ c: '100' });
  });

  it('enters once, and not when its hold is over', async () => {
    const line = free();
    await enter(line, 'r1', 'a');
    await line.enter(ticket('r1', 'a'));
    expect(await line.look('lane')).toMatchObject({ waitingCalls: 1, waitingTokens: 100 });
    expect(await line.enter(ticket('nobody', 'a'))).toEqual({ code: 'gone' });
  });

  it('leaves with its hold, and what is left in the line by a lost hold goes', async () => {
    const line = free();
    for (const id of ['r1', 'r2', 'r3', 'r4']) await enter(line, id, 'a');
    await money.end('r2', 'void', { keyId: 'a' });
    expect(await line.look('lane')).toMatchObject({ waitingCalls: 3, waitingTokens: 300 });
    await money.redis.del(redisKeys.hold('r1'));
    await money.redis.del(redisKeys.ticket('r3'));
    expect((await line.heads('lane', 1))[0]?.requestId).toBe('r4');
    expect(await line.look('lane')).toMatchObject({ waitingCalls: 1, waitingTokens: 100, nextId: 'r4' });
  });

  it('that leaves unserved does not keep its key waiting', async () => {
    const line = free();
    for (let n = 0; n < 20; n++) await enter(line, `a${n}`, 'a');
    for (let n = 0; n < 6; n++) await enter(line, `b${n}`, 'b');
    for (let n = 19; n >= 1; n--) await money.end(`a${n}`, 'void', { keyId: 'a' });
    await enter(line, 'again', 'a');
    expect((await served(line, 4)).toSorted()).toEqual(['a0', 'again', 'b0', 'b1']);
  });

  it.each([['the first of them'], ['the last of them']])(
    'neither gains nor loses by calls of its key that give up, %s',
    async (which) => {
      const line = free();
      for (let n = 0; n < 30; n++) await enter(line, `b${n}`, 'b');
      let [next, gone] = [0, 0];
      const waiting: string[] = [];
      const mine: string[] = [];
      // Ten of one key wait at any time, and for each that is served two give up.
      for (let turn = 0; turn < 30; turn++) {
        while (waiting.length < 10) {
          waiting.push(`a${next}`);
          await enter(line, `a${next++}`, 'a');
        }
        const [id] = await served(line, 1);
        if (!id!.startsWith('a')) continue;
        mine.push(id!);
        waiting.splice(waiting.indexOf(id!), 1);
        for (let n = 0; n < 2; n++, gone++)
          await money.end((which.includes('first') ? waiting.shift() : waiting.pop())!, 'void', { keyId: 'a' });
      }
      expect(gone).toBeGreaterThan(20);
      expect([14, 15, 16]).toContain(mine.length);
    },
  );

  it('does not come before its time in the place of a smaller one', async () => {
    const line = free();
    for (let n = 0; n < 10; n++) await enter(line, `small${n}`, 'a', { pacedTokens: 1 });
    for (let n = 0; n < 5; n++) await enter(line, `large${n}`, 'a', { pacedTokens: 50_000 });
    for (let n = 0; n < 10; n++) await enter(line, `b${n}`, 'b', { pacedTokens: 10_000 });
    for (let n = 0; n < 10; n++) await money.end(`small${n}`, 'void', { keyId: 'a' });
    const first = await served(line, 6);
    expect(first.filter((id) => id.startsWith('large')).length).toBeLessThanOrEqual(2);
  });

  it('is told the time by how fast turns came of late', async () => {
    const line = lineOf({ rpm: 600, burst_seconds: 60 });
    for (let n = 0; n < 30; n++) {
      await enter(line, `a${n}`, 'a');
      await enter(line, `b${n}`, 'b');
    }
    const fair = redisKeys.laneFair('lane');
    // Two keys take turns, so that virtual time goes half as fast as the lane.
    await money.redis.hset(fair, 'speed', '0.5', 'v', '0');
    const [place] = await line.places('lane', ['a10']);
    expect(place).toEqual({ before: 20, waitMs: 2_000 });
  });

  it('is told the time as half a minute says, not by the last large call alone', async () => {
    const line = free();
    for (let n = 0; n < 4; n++) await enter(line, `a${n}`, 'a');
    const fair = redisKeys.laneFair('lane');
    const speed = async () => Number(await money.redis.hget(fair, 'speed'));
    await money.redis.hset(fair, {
      v: 100,
      v_then: 100,
      then_ms: Date.now() - 3_000,
      speed: '0.5',
      speed_over_ms: 27_000,
    });
    await served(line, 1);
    expect(await speed()).toBeGreaterThan(0.44);
    expect(await speed()).toBeLessThan(0.5);
    await money.redis.hset(fair, { then_ms: Date.now() - 20_000 });
    await served(line, 1);
    expect(await money.redis.hexists(fair, 'speed')).toBe(0);
  });

  it('has its turn again, before all others, when the upstream sent it back', async () => {
    const line = free();
    for (const id of ['r1', 'r2', 'r3']) await enter(line, id, 'a');
    await served(line, 1);
    expect(await money.holds.defer({ requestId: 'r1', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 1 })).toBe(
      true,
    );
    expect((await line.heads('lane', 1))[0]?.requestId).toBe('r1');
    expect(await line.look('lane')).toMatchObject({ waitingCalls: 3, waitingTokens: 300 });
  });

  it('is always served some time, and the lane keeps no trace of them (at random)', async () => {
    const line = free();
    let calls = 0;
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      tokens: fc.integer({ min: 1, max: 100_000 }),
      does: fc.constantFrom('enter', 'enter', 'serve', 'leave'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const waiting: string[] = [];
        for (const { key, tokens, does } of steps) {
          if (does === 'enter') {
            const id = `x${++calls}`;
            await enter(line, id, key, { pacedTokens: tokens });
            waiting.push(id);
          } else if (does === 'serve') {
            for (const id of await served(line, 1)) waiting.splice(waiting.indexOf(id), 1);
          } else {
            const id = waiting.pop();
            if (id) await money.end(id, 'void', { keyId: (await money.redis.hget(redisKeys.hold(id), 'key'))! });
          }
        }
        expect(await line.look('lane')).toMatchObject({ waitingCalls: waiting.length });
        expect((await served(line, waiting.length + 1)).toSorted()).toEqual(waiting.toSorted());
        expect(await money.redis.exists(redisKeys.laneWaiting('lane'), redisKeys.laneFair('lane'))).toBe(0);
      }),
      { numRuns: 30 },
    );
  });
});

describe('the pace of a lane', () => {
  const start = (id: string, tokens = 1) => money.start(id, { rpm: 600, tpm: 60_000, burstMs: 1_000, tokens });

  it('is even: a second of it at once, then one call after another', async () => {
    for (let n = 0; n < 12; n++) await money.take(`r${n}`);
    const codes: string[] = [];
    for (let n = 0; n < 12; n++) codes.push((await start(`r${n}`)).code);
    expect(codes.filter((code) => code === 'started').length).toBeGreaterThanOrEqual(10);
    const last = await start('r11');
    expect(last.code === 'wait' ? last.waitMs : 0).toBeLessThanOrEqual(200);
  });

  it('lets a call larger than a second of it pass, and rests afterwards for as long as it took', async () => {
    for (const id of ['r1', 'r2']) await money.take(id);
    expect(await start('r1', 30_000)).toMatchObject({ code: 'started' });
    const next = await start('r2', 1);
    expect(next.code === 'wait' && next.waitMs).toBeGreaterThan(28_000);
  });

  it('uses the requests and the tokens each to the full, where small calls and large ones are mixed', async () => {
    for (let n = 0; n < 7; n++) await money.take(`r${n}`);
    for (let n = 0; n < 5; n++) expect(await start(`r${n}`, 1)).toMatchObject({ code: 'started' });
    expect(await start('r5', 5_000)).toMatchObject({ code: 'started' });
    // 5,005 tokens at 1,000 a second, one second of them at once: the small calls' requests were there meanwhile.
    const next = await start('r6', 1);
    expect(next.code === 'wait' && next.waitMs).toBeGreaterThan(3_800);
    expect(next.code === 'wait' && next.waitMs).toBeLessThanOrEqual(4_006);
  });

  it('is slower after many came at once, so that the lane does not stand still before they leave the window', async () => {
    const limits = { rpm: 600, burstMs: 10_000, tokens: 1 };
    for (let n = 0; n < 102; n++) await money.take(`r${n}`);
    for (let n = 0; n < 100; n++) expect((await money.start(`r${n}`, limits)).code).toBe('started');
    const until = async () => Number(await money.redis.hget(redisKeys.laneState('lane'), 'requests_until_ms'));
    await sleep(600);
    const before = await until();
    expect((await money.start('r100', limits)).code).toBe('started');
    // 500 and the slack of 30 are left for a minute: 113 ms apart and more, rather than 100.
    expect((await until()) - before).toBeGreaterThan(110);
    expect((await until()) - before).toBeLessThan(130);
  });

  it('does not wait for a clock that was put back', async () => {
    for (const id of ['r1', 'r2']) await money.take(id);
    await start('r1');
    const inAnHour = String(Date.now() + 3_600_000);
    await money.redis.hset(redisKeys.laneState('lane'), { requests_until_ms: inAnHour, tokens_until_ms: inAnHour });
    expect(await start('r2')).toMatchObject({ code: 'started' });
  });

  it('follows the limits that the upstream tells, and what it counted beyond ours', async () => {
    const line = lineOf({ rpm: 600, tpm: 60_000 });
    const headers = (limit: number, remaining: number) =>
      new Headers({ 'x-ratelimit-limit-tokens': String(limit), 'x-ratelimit-remaining-tokens': String(remaining) });
    const counted = { requests: 1, tokens: 1_000, atMs: Date.now() };
    await line.learn('lane', 'openai', headers(30_000, 29_000), counted, ANSWER);
    expect(await line.look('lane')).toMatchObject({ upstreams: [{ tpm: 30_000, rpm: 600, tokens: 0 }] });
    await line.learn('lane', 'openai', headers(30_000, 10_000), counted, ANSWER);
    expect(await line.look('lane')).toMatchObject({ upstreams: [{ tpm: 30_000, tokens: 19_000 }] });
    // What was sent meanwhile, by whomever, is no surprise.
    await line.learn('lane', 'openai', headers(30_000, 15_000), counted, ANSWER);
    expect(await line.look('lane')).toMatchObject({ upstreams: [{ tokens: 19_000 }] });
    await line.learn('lane', 'openai', headers(90_000, 90_000), counted, ANSWER);
    expect(await line.look('lane')).toMatchObject({ upstreams: [{ tpm: 90_000 }] });
  });

  it("does not take for somebody else's what has left the window while the answer was on its way", async () => {
    const line = lineOf({ tpm: 60_000 });
    const old = Math.floor(Date.now() / 250) - 241;
    await money.redis.hset(redisKeys.laneWindow('lane'), {
      h: old,
      n: 1,
      t: 50_000,
      [`n${old}`]: 1,
      [`t${old}`]: 50_000,
    });
    const headers = new Headers({ 'x-ratelimit-limit-tokens': '60000', 'x-ratelimit-remaining-tokens': '9000' });
    await sleep(600);
    await line.learn('lane', 'openai', headers, { requests: 2, tokens: 51_000, atMs: Date.now() - 600 }, ANSWER);
    expect(await line.look('lane')).toMatchObject({ upstreams: [{ tokens: 0 }] });
  });

  it('keeps to numbers that the operator fixed', async () => {
    const line = lineOf({ rpm: 600, tpm: 60_000, fixed: true });
    await line.learn(
      'lane',
      'openai',
      new Headers({ 'x-ratelimit-limit-tokens': '90000', 'x-ratelimit-remaining-tokens': '90000' }),
      {
        requests: 1,
        tokens: 1,
        atMs: Date.now(),
      },
      ANSWER,
    );
    expect(await line.look('lane')).toMatchObject({ upstreams: [{ tpm: 60_000, configured: { fixed: true } }] });
  });
});

describe('a limit that headers told', () => {
  const line = () => lineOf({ rpm: 600, tpm: 60_000 });
  const NOW = { requests: 0, tokens: 0, atMs: 0 };
  const headers = (tpm: number) => new Headers({ 'x-ratelimit-limit-tokens': String(tpm) });
  const bare = new Headers();
  const limits = async (of = line()) => {
    const { rpm, tpm } = (await of.look('lane')).upstreams[0]!;
    return { rpm, tpm };
  };
  const CONFIGURED = { rpm: 600, tpm: 60_000 };
  const state = redisKeys.laneState('lane');
  /** As if it had been told so long ago. */
  const ageBy = async (ms: number, field = 'header_tpm_ms') =>
    money.redis.hset(state, field, Number(await money.redis.hget(state, field)) - ms);

  it('holds for all processes, also for one that starts anew at the same upstream', async () => {
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    const another = line();
    await another.adopt('lane', 'openai', ANSWER.account);
    expect(await limits(another)).toEqual({ rpm: 600, tpm: 9 });
  });

  it('is forgotten where nobody confirms it for ten minutes, as where it lets no call pass', async () => {
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    await ageBy(599_000);
    expect(await limits()).toEqual({ rpm: 600, tpm: 9 });
    await ageBy(2_000);
    expect(await limits()).toEqual(CONFIGURED);
    expect((await enter(line(), 'r1', 'a')).code).toBe('entered');
  });

  it('is confirmed by each answer that tells it again', async () => {
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    await ageBy(599_000);
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    await ageBy(599_000);
    expect(await limits()).toEqual({ rpm: 600, tpm: 9 });
  });

  it('is forgotten after a minute of answers that do not tell it, and by no error', async () => {
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    await line().learn('lane', 'openai', bare, NOW, ANSWER);
    expect(await limits()).toEqual({ rpm: 600, tpm: 9 });
    await ageBy(61_000);
    await line().learn('lane', 'openai', bare, NOW, { ...ANSWER, answered: false });
    expect(await limits()).toEqual({ rpm: 600, tpm: 9 });
    await line().learn('lane', 'openai', bare, NOW, ANSWER);
    expect(await limits()).toEqual(CONFIGURED);
  });

  it('is told to Redis now and then only, and at once where it is new', async () => {
    const one = line();
    await one.learn('lane', 'openai', headers(9), NOW, ANSWER);
    await money.redis.del(state);
    await one.learn('lane', 'openai', headers(9), NOW, ANSWER);
    expect(await money.redis.exists(state)).toBe(0);
    await one.learn('lane', 'openai', headers(8), NOW, ANSWER);
    expect(await limits(one)).toMatchObject({ tpm: 8 });
  });

  it('says nothing about another address or key', async () => {
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    await line().adopt('lane', 'openai', 'another');
    expect(await limits()).toEqual(CONFIGURED);
    await line().learn('lane', 'openai', headers(7), NOW, ANSWER);
    await line().learn('lane', 'openai', new Headers({ 'x-ratelimit-limit-requests': '5' }), NOW, {
      account: 'another',
      answered: true,
    });
    expect(await limits()).toEqual({ rpm: 5, tpm: 60_000 });
  });

  it('goes before what the project reports, which holds for an hour, until it lapses', async () => {
    await line().takeOver('lane', { rpm: 50, tpm: 500, rpd: 5_000 });
    expect(await limits()).toEqual({ rpm: 50, tpm: 500 });
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    expect(await limits()).toEqual({ rpm: 50, tpm: 9 });
    await ageBy(601_000);
    expect(await limits()).toEqual({ rpm: 50, tpm: 500 });
    for (const field of ['project_rpm_ms', 'project_tpm_ms', 'project_rpd_ms']) await ageBy(3_601_000, field);
    expect((await line().look('lane')).upstreams[0]).toMatchObject({ ...CONFIGURED, rpd: 0 });
  });

  it('of a version before, without a time, is not believed', async () => {
    await money.redis.hset(state, { rpm: '1', tpm: '1', rpd: '1' });
    expect(await limits()).toEqual(CONFIGURED);
  });

  it('gives way to numbers that the operator fixed since', async () => {
    await line().learn('lane', 'openai', headers(9), NOW, ANSWER);
    await line().takeOver('lane', { rpm: 50, tpm: 500, rpd: 5_000 });
    const fixed = lineOf({ ...CONFIGURED, fixed: true });
    await fixed.adopt('lane', 'openai', ANSWER.account);
    expect(await limits(fixed)).toEqual(CONFIGURED);
  });

  it('leaves no wait behind where it lapses', async () => {
    await line().learn('lane', 'openai', headers(1_000), NOW, ANSWER);
    const free = lineOf({});
    for (const id of ['r1', 'r2']) await enter(free, id, 'a');
    const upstreams = [{ ...laneUpstream(), burstMs: 1_000 }];
    expect((await money.start('r1', { keyId: 'a', tokens: 900, upstreams })).code).toBe('started');
    expect((await money.start('r2', { keyId: 'a', tokens: 90, upstreams })).code).toBe('late');
    await ageBy(601_000);
    expect((await money.start('r2', { keyId: 'a', tokens: 90, upstreams })).code).toBe('started');
  });
});
