import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys } from './lane.upstreams.js';
import { laneUpstream, Money } from '#libs/holds/money.fixture.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

let money: Money;
let reserveScript: Script;
let freezeScript: Script;
beforeAll(async () => {
  money = await Money.start();
  reserveScript = defineScript(money.redis, 'reserve-lane');
  freezeScript = defineScript(money.redis, 'freeze-lane');
});
afterAll(() => money.stop());
beforeEach(() => money.reset());

const key = redisKeys.laneWindow('moderation');
const slot = laneUpstream({ slot: 'moderation' });
const reserve = async (tokens: number, { requests = 1, rpm = 0, tpm = 0 } = {}) =>
  (await reserveScript(upstreamKeys([slot]), [requests, tokens, ...upstreamArgs([{ ...slot, rpm, tpm }])])) as number;
const freeze = async (ms: number) => (await freezeScript([key, redisKeys.laneState('moderation')], [ms])) as number;

describe('a lane that carries no holds', () => {
  it('takes what fits and says how long the rest has to wait', async () => {
    expect(await reserve(60, { tpm: 100 })).toBe(0);
    expect(await reserve(40, { tpm: 100 })).toBe(0);
    const wait = await reserve(1, { tpm: 100 });
    expect(wait).toBeGreaterThan(58_000);
    expect(wait).toBeLessThanOrEqual(61_000);
    expect(await money.window(key)).toEqual({ requests: 2, tokens: 100 });
  });

  it('counts requests as it counts tokens', async () => {
    expect(await reserve(1, { requests: 3, rpm: 4 })).toBe(0);
    expect(await reserve(1, { requests: 2, rpm: 4 })).toBeGreaterThan(0);
    expect(await reserve(1, { requests: 1, rpm: 4 })).toBe(0);
  });

  it('says −1 to what can never fit, and counts nothing of it', async () => {
    expect(await reserve(101, { tpm: 100 })).toBe(-1);
    expect(await reserve(1, { requests: 5, rpm: 4 })).toBe(-1);
    expect(await money.window(key)).toEqual({ requests: 0, tokens: 0 });
  });

  it('without limits takes everything', async () => {
    for (let call = 0; call < 20; call++) expect(await reserve(1_000_000)).toBe(0);
  });

  it('forgets itself when nobody uses it', async () => {
    await reserve(1, { tpm: 100 });
    expect(await money.redis.pttl(key)).toBeGreaterThan(60_500);
    expect(await money.redis.pttl(key)).toBeLessThanOrEqual(121_500);
  });
});

describe('a frozen lane', () => {
  it('lets nothing pass until it thaws, limits or none', async () => {
    expect(await freeze(300)).toBe(300);
    const wait = await reserve(1);
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(300);
    await sleep(310);
    expect(await reserve(1)).toBe(0);
  });

  it('is never thawed by a shorter freeze', async () => {
    await freeze(10_000);
    expect(await freeze(5)).toBeGreaterThan(9_900);
    expect(await reserve(1)).toBeGreaterThan(9_900);
  });

  it.each([1e12, 1e300])('thaws after two minutes, though %p ms were asked', async (ms) => {
    expect(await freeze(ms)).toBe(120_000);
    const wait = await reserve(1);
    expect(wait).toBeGreaterThan(119_000);
    expect(wait).toBeLessThanOrEqual(120_000);
  });

  it.each(['reserve', 'freeze'])('lapses, though a version without the bound stored it: %s', async (first) => {
    await money.redis.hset(key, 'frozen_until_ms', String(Date.now() + 1e12));
    const wait = await (first === 'reserve' ? reserve(1) : freeze(1));
    expect(wait).toBeLessThanOrEqual(120_000);
    await sleep(50);
    expect(await reserve(1)).toBeLessThanOrEqual(wait - 50);
  });

  it('stays frozen beyond the life of an idle window, and does not stay for ever', async () => {
    await freeze(120_000);
    await reserve(1);
    expect(await money.redis.pttl(key)).toBeGreaterThan(119_000);
    await money.redis.del(key);
    await freeze(300);
    await reserve(1);
    const life = await money.redis.pttl(key);
    expect(life).toBeGreaterThan(0);
    expect(life).toBeLessThanOrEqual(121_500);
  });
});
