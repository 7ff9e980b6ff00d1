import { describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import { settle, settleCut, type CutAnswer } from './settlement.js';

const price = { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 };
const ticket = {
  inputTokens: 10,
  outputs: 1,
  capTokens: 1_000,
  tierPercent: 100,
  feeNano: '0',
  facts: {},
  price,
} as unknown as Ticket;
const outputOf = (changes: Partial<CutAnswer>, of: Ticket = ticket): number =>
  settleCut(of, { seenTokens: 0, unseenMs: 0, flowingMs: 0, hungUp: true, ...changes }, {}).detail.usage.output;

describe('an answer with a usage report', () => {
  const tiers = { default: 100, flex: 50, priority: 250, fast: 250 };
  const costOf = (serviceTier: string | undefined, of: Partial<Ticket> = {}): bigint =>
    settle({ ...ticket, tiers, ...of }, { metered: { input: 100, output: 100 }, serviceTier, model: undefined })!
      .costNano;

  it('costs what the tier that served costs for its model', () => {
    expect(costOf('priority', { tierPercent: 250 })).toBe(500n);
    expect(costOf('fast', { tierPercent: 250 })).toBe(500n);
    expect(costOf('flex')).toBe(100n);
    expect(costOf('default', { tierPercent: 250 })).toBe(200n);
  });

  it('costs what the visitor asked for where nobody knows the tier that served, whatever its name', () => {
    for (const tier of [undefined, 'ultrafast', 'toString', 'constructor', '__proto__', '']) {
      expect(costOf(tier)).toBe(200n);
      expect(costOf(tier, { tierPercent: 250 })).toBe(500n);
    }
  });

  it('pays the fee of each search that it reports, and of all that were allowed where it reports none', () => {
    const searching = { ...ticket, feeNano: '3000', facts: { searchCalls: 3 } } as Ticket;
    const feeOf = (searches: number | undefined, of: Ticket = searching): bigint =>
      settle(of, { metered: { input: 1 }, serviceTier: undefined, model: undefined, searches })!.costNano - 1n;
    expect([0, 1, 3, 9, undefined].map((searches) => feeOf(searches))).toEqual([0n, 1_000n, 3_000n, 9_000n, 3_000n]);
    // An API that tells no number, as chat completions.
    expect(feeOf(1, { ...searching, facts: {} })).toBe(3_000n);
    const cut = settleCut(searching, { seenTokens: 0, unseenMs: 0, flowingMs: 0, hungUp: false }, {});
    expect(cut.costNano).toBe(3_010n);
  });

  it('costs what the version before held for, on its tickets', () => {
    expect(costOf('priority', { tiers: undefined, tierPercent: 200 })).toBe(400n);
    expect(costOf('flex', { tiers: undefined })).toBe(100n);
  });
});

describe('an answer of images or sound', () => {
  const priced = { ...price, input: 2, imageInput: 3, imageOutput: 5, seconds: 7 };
  const image = {
    ...ticket,
    price: priced,
    outputs: 0,
    capTokens: 0,
    heldNano: '9000',
    estimate: { imageOutput: 100 },
  };
  const metered = { input: 10, imageInput: 20, imageOutput: 30 };
  const report = { metered, serviceTier: undefined, model: undefined };
  const nothingSeen: CutAnswer = { seenTokens: 50, unseenMs: 5_000, flowingMs: 100, hungUp: true };

  it('costs each meter that it reports, and takes all its tokens of the limits', () => {
    expect(settle(image, report)).toMatchObject({
      costNano: 20n + 60n + 150n,
      usedTokens: 60,
      detail: { usage: { input: 10, cached: 0, cacheWrite: 0, output: 0, imageInput: 20, imageOutput: 30 } },
    });
  });

  it('without a usage costs the bound, or the estimate, as its API says', () => {
    expect(settleCut(image, nothingSeen, { unreported: 'bound' })).toMatchObject({
      costNano: 9_000n,
      presumed: true,
      detail: { usage: { input: 10, imageOutput: 100 }, estimated: true },
    });
    const estimated = settleCut(image, nothingSeen, { unreported: 'estimate' });
    expect(estimated).toMatchObject({ costNano: 20n + 500n, usedTokens: 110 });
    expect(estimated).not.toHaveProperty('presumed');
    expect(estimated.detail.usage).toEqual({ input: 10, cached: 0, cacheWrite: 0, output: 0, imageOutput: 100 });
    // What a text API counted, and the estimate of the rest.
    expect(settleCut(image, { ...nothingSeen, hungUp: false }, {})).toMatchObject({ costNano: 20n + 50n + 500n });
  });

  it('is not free where it reports only what its model has no rate for', () => {
    const hours = { ...image, price: { ...priced, input: 0, output: 0 }, estimate: { seconds: 60 } };
    expect(settle(hours, { ...report, metered: { input: 10, output: 20 } })).toBeNull();
    expect(settle(hours, { ...report, metered: { seconds: 3 } })?.costNano).toBe(21n);
    expect(settle({ ...hours, heldNano: '0' }, { ...report, metered: { input: 10 } })?.costNano).toBe(0n);
    expect(settle(hours, { ...report, metered: {} })?.costNano).toBe(0n);
  });
});

describe('an answer that was cut before its usage came', () => {
  it('costs what was seen where the upstream came to its end', () => {
    expect(outputOf({ seenTokens: 100, flowingMs: 1_000, hungUp: false })).toBe(100);
  });

  it('costs a fifth of a second more at its own pace where we hung up: the upstream goes on until it hears of it', () => {
    expect(outputOf({ seenTokens: 100, flowingMs: 1_000 })).toBe(100 + 20 + 1);
    expect(outputOf({ seenTokens: 100, flowingMs: 10_000 })).toBe(100 + 2 + 1);
    // Too short to know its pace: as much again as was seen.
    expect(outputOf({ seenTokens: 5, flowingMs: 1 })).toBe(5 + 5 + 1);
  });

  it('costs what a model can have reasoned in silence, after half a second for reading', () => {
    expect(outputOf({ unseenMs: 400 })).toBe(0);
    expect(outputOf({ unseenMs: 1_500 })).toBe(200);
  });

  it('never costs more than its cap, unless more was seen', () => {
    const short = { ...ticket, capTokens: 110 };
    expect(outputOf({ seenTokens: 100, flowingMs: 1_000 }, short)).toBe(110);
    expect(outputOf({ seenTokens: 120, flowingMs: 1_000 }, short)).toBe(120);
    // Bytes are a bound: more of them than the cap has tokens prove nothing.
    expect(outputOf({ seenTokens: 120, flowingMs: 1_000 }, { ...short, encoding: 'bytes' })).toBe(110);
  });
});
