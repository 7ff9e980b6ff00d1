import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { laneUpstream, Money } from '#libs/holds/money.fixture.js';
import { LaneBusyError, LanePacer } from './lane-pacer.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(() => money.reset());

const pacerOf = (limits: object): LanePacer =>
  new LanePacer(money.redis, laneUpstream({ slot: 'moderation', name: 'openai/moderation', ...limits }));

describe('calls without holds', () => {
  it('go at once where there is room, and wait as long as the even rate says where there is none', async () => {
    const pacer = pacerOf({ rpm: 600, burstMs: 100 });
    const begun = Date.now();
    for (let n = 0; n < 6; n++) await pacer.reserve(1, 5_000);
    expect(Date.now() - begun).toBeGreaterThanOrEqual(390);
    expect(Date.now() - begun).toBeLessThan(1_500);
  });

  it('are paced in a full Redis, too: running calls need verdicts', async () => {
    const pacer = pacerOf({ rpm: 600, burstMs: 100 });
    await money.redis.config('SET', 'maxmemory', '1');
    try {
      await pacer.reserve(1, 1_000);
      await pacer.freeze(60_000);
      await expect(pacer.reserve(1, 100)).rejects.toThrow(LaneBusyError);
    } finally {
      await money.redis.config('SET', 'maxmemory', '0');
    }
  });

  it('that wait go in their order, and a small one does not pass', async () => {
    const pacer = pacerOf({ tpm: 60_000, burstMs: 100 });
    await pacer.reserve(400, 1_000);
    const order: number[] = [];
    await Promise.all(
      [300, 1, 200, 1].map((tokens, index) => pacer.reserve(tokens, 5_000).then(() => order.push(index))),
    );
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it('of several keys take turns, however many calls one of them has waiting', async () => {
    const pacer = pacerOf({ rpm: 1_200, burstMs: 10 });
    await pacer.reserve(1, 5_000);
    const order: string[] = [];
    const of = (keyId: string) => pacer.reserve(1, 5_000, keyId).then(() => order.push(keyId));
    const many = Array.from({ length: 20 }, () => of('many'));
    // In the same tick: a process that stands still for a moment changes nothing.
    await Promise.all([...many, of('few'), of('few')]);
    expect(order.slice(0, 5).filter((keyId) => keyId === 'few').length).toBe(2);
  });

  it('that lose patience in the line are told so in time, and leave the others in their order', async () => {
    const pacer = pacerOf({ tpm: 60_000, burstMs: 100 });
    await pacer.reserve(1_000, 1_000);
    const order: string[] = [];
    const begun = Date.now();
    const first = pacer.reserve(500, 5_000).then(() => order.push('first'));
    const hasty = pacer
      .reserve(1, 150)
      .catch((error: unknown) => order.push(error instanceof LaneBusyError ? 'hasty left' : String(error)));
    const last = pacer.reserve(1, 5_000).then(() => order.push('last'));
    await hasty;
    expect(Date.now() - begun).toBeLessThan(600);
    await Promise.all([first, last]);
    expect(order).toEqual(['hasty left', 'first', 'last']);
  });

  it('that could never go are told at once, and hold nobody up', async () => {
    const pacer = pacerOf({ tpm: 100 });
    await expect(pacer.reserve(101, 60_000)).rejects.toMatchObject({ waitMs: Number.POSITIVE_INFINITY });
    await pacer.reserve(100, 10);
    await expect(pacer.reserve(100, 50)).rejects.toThrow(LaneBusyError);
    await sleep(5);
    await expect(pacer.reserve(100, 50)).rejects.toThrow(LaneBusyError);
  });
});
