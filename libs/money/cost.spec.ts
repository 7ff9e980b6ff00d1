import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import { costOf, ratesFor, readChatUsage, TIER_PERCENT } from './cost.js';

const price: ModelPrice = { input: 750, cachedInput: 75, cacheWrite: 900, output: 4_500 };
const long: ModelPrice = {
  ...price,
  long: { input: 1_500, cachedInput: 150, cacheWrite: 1_800, output: 6_750, aboveTokens: 272_000 },
};
const usage = (input: number, output: number, cached = 0, cacheWrite = 0) => ({ input, output, cached, cacheWrite });

describe('the cost of a call', () => {
  it('is input and output at their own prices, to the nano-dollar', () => {
    expect(costOf(price, usage(1_000, 100))).toBe(1_200_000n);
  });

  it('takes cached input at its own price, as a part of the input', () => {
    expect(costOf(price, usage(1_000, 0, 600))).toBe(400n * 750n + 600n * 75n);
  });

  it('takes cache writes at their own price, as a part of the input', () => {
    expect(costOf(price, usage(1_000, 0, 600, 300))).toBe(100n * 750n + 600n * 75n + 300n * 900n);
  });

  it('is nothing for nothing', () => expect(costOf(price, usage(0, 0))).toBe(0n));

  it('takes the dearer rates for the whole request beyond the long-context mark, not at it', () => {
    expect(ratesFor(long, 272_000)).toBe(long);
    expect(costOf(long, usage(272_000, 10))).toBe(272_000n * 750n + 10n * 4_500n);
    expect(costOf(long, usage(272_001, 10, 1))).toBe(272_000n * 1_500n + 150n + 10n * 6_750n);
  });

  it('is half on flex, rounded up, and double on priority', () => {
    const odd: ModelPrice = { input: 75, cachedInput: 75, cacheWrite: 75, output: 75 };
    expect(costOf(odd, usage(1, 0), TIER_PERCENT.flex)).toBe(38n);
    expect(costOf(odd, usage(1, 0), TIER_PERCENT.priority)).toBe(150n);
    expect(costOf(odd, usage(1, 0), TIER_PERCENT.default)).toBe(75n);
  });

  it('stays exact where doubles would not', () => {
    expect(costOf({ ...price, output: 600_001 }, usage(0, 100_000_000_003))).toBe(600_001n * 100_000_000_003n);
  });

  it('counts a report of more cached than input as all cached, never as negative plain input', () => {
    expect(costOf(price, usage(100, 0, 1_000, 1_000))).toBe(7_500n);
  });
});

describe("an upstream's usage report", () => {
  it('is read with its cached and cache-write tokens', () => {
    expect(
      readChatUsage({
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2 },
      }),
    ).toEqual(usage(10, 5, 4, 2));
  });

  it('is read without details', () => {
    expect(readChatUsage({ prompt_tokens: 10, completion_tokens: 5 })).toEqual(usage(10, 5));
    expect(readChatUsage({ prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: null })).toEqual(
      usage(10, 5),
    );
  });

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['an empty object', {}],
    ['no output', { prompt_tokens: 1 }],
    ['a negative count', { prompt_tokens: -1, completion_tokens: 1 }],
    ['a fraction', { prompt_tokens: 1.5, completion_tokens: 1 }],
    ['a string', { prompt_tokens: '10', completion_tokens: 1 }],
    ['NaN', { prompt_tokens: Number.NaN, completion_tokens: 1 }],
    ['infinity', { prompt_tokens: 1, completion_tokens: Number.POSITIVE_INFINITY }],
    ['a count beyond exact numbers', { prompt_tokens: 1e300, completion_tokens: 1 }],
  ])('of %s is no report, so that the count of our own is booked', (_, report) => {
    expect(readChatUsage(report)).toBeNull();
  });

  it('with absurd details is read as nothing cached, the dearest reading', () => {
    for (const cached_tokens of [-5, 1.5, 'many', Number.NaN]) {
      expect(
        readChatUsage({ prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens } }),
      ).toEqual(usage(10, 5));
    }
  });

  it('never leads to a negative cost or to none at all, whatever it says', () => {
    const number = fc.oneof(
      fc.integer({ min: -10, max: 1_000_000 }),
      fc.double(),
      fc.constantFrom(undefined, null, '5', Number.NaN, -0, Number.MAX_SAFE_INTEGER),
    );
    const reports = fc.record(
      {
        prompt_tokens: number,
        completion_tokens: number,
        prompt_tokens_details: fc.oneof(
          fc.constantFrom(null, 5, 'x', []),
          fc.record({ cached_tokens: number, cache_write_tokens: number }),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(reports, fc.constantFrom(price, long), fc.constantFrom(50, 100, 200), (report, by, tier) => {
        const read = readChatUsage(report);
        if (!read) return;
        const cost = costOf(by, read, tier);
        expect(cost).toBeGreaterThanOrEqual(0n);
        // Cached input is the cheapest that input can be, so nothing may fall below it.
        const rates = ratesFor(by, read.input);
        expect(cost * 100n).toBeGreaterThanOrEqual(
          (BigInt(read.input) * BigInt(rates.cachedInput) + BigInt(read.output) * BigInt(rates.output)) * BigInt(tier),
        );
      }),
      { numRuns: 2_000 },
    );
  });
});
