import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { laneUpstream, Money } from '#libs/holds/money.fixture.js';
import { LanePacer } from './lane-pacer.js';
import { LastPacer } from './last.pacer.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(() => money.reset());

/** OpenAI's first tier. */
const TIER = { rpm: 500, tpm: 10_000, burstMs: 10_000 };
const pacersOf = (limits: object = TIER): { verdicts: LanePacer; inquiries: LastPacer } => {
  const upstream = laneUpstream({ slot: 'moderation', name: 'openai/moderation', ...limits });
  return { verdicts: new LanePacer(money.redis, upstream), inquiries: new LastPacer(money.redis, upstream) };
};

describe('what visitors ask of the moderation endpoint', () => {
  it('takes a quarter of a minute at most, however much comes', async () => {
    const { inquiries } = pacersOf({ ...TIER, burstMs: 60_000 });
    let taken = 0;
    for (let n = 0; n < 100; n++) if ((await inquiries.reserve(100)) === 0) taken += 100;
    expect(taken).toBe(2_500);
    // It waits for its own window, and the lane has three quarters left.
    expect(await inquiries.reserve(100)).toBeGreaterThan(50_000);
  });

  it('leaves room for verdicts, which go at once in the midst of a flood', async () => {
    const { verdicts, inquiries } = pacersOf();
    for (let n = 0; n < 8; n++) {
      for (let flood = 0; flood < 20; flood++) await inquiries.reserve(100);
      // No patience: a reservation that had to wait would be refused.
      await verdicts.reserve(100, 0);
    }
  });

  it('is not let in while a verdict waits for the lane', async () => {
    const { verdicts, inquiries } = pacersOf({ ...TIER, burstMs: 60_000 });
    await verdicts.reserve(2_000, 0);
    expect(await inquiries.reserve(1)).toBe(0);
    // There is room for a small inquiry, but it would keep this one waiting for longer.
    await expect(verdicts.reserve(9_000, 0)).rejects.toThrow('no room');
    expect(await inquiries.reserve(1)).toBeGreaterThan(0);
  });

  it('larger than its part never goes', async () => {
    const { inquiries } = pacersOf();
    expect(await inquiries.reserve(2_501)).toBe(Infinity);
    expect(await inquiries.reserve(2_500)).toBe(0);
  });

  it('of a lane without known limits has a quarter of the first tier', async () => {
    const { inquiries } = pacersOf({ rpm: 0, tpm: 0 });
    let asked = 0;
    while ((await inquiries.reserve(1)) === 0) asked++;
    expect(asked).toBe(125);
    expect(await pacersOf({ slot: 'another', rpm: 0, tpm: 0 }).inquiries.reserve(2_501)).toBe(Infinity);
  });

  it('stops after a 429, and verdicts go on', async () => {
    const { verdicts, inquiries } = pacersOf();
    await inquiries.freeze(30_000);
    await inquiries.freeze(1_000);
    expect(await inquiries.reserve(1)).toBeGreaterThan(20_000);
    await verdicts.reserve(100, 0);
  });
});
