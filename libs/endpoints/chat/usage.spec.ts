import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import { costOf, ratesFor } from '#libs/money/cost.js';
import { readUsage, writtenUsage } from './usage.js';

const price: ModelPrice = { input: 750, cachedInput: 75, cacheWrite: 900, output: 4_500 };
const long: ModelPrice = {
  ...price,
  long: { input: 1_500, cachedInput: 150, cacheWrite: 1_800, output: 6_750, aboveTokens: 272_000 },
};
const usage = (input: number, output: number, cached = 0, cacheWrite = 0) => ({ input, output, cached, cacheWrite });

describe("an upstream's usage report", () => {
  it('is read with its cached and cache-write tokens', () => {
    expect(
      readUsage({
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2 },
      }),
    ).toEqual(usage(10, 5, 4, 2));
  });

  it('is read without details', () => {
    expect(readUsage({ prompt_tokens: 10, completion_tokens: 5 })).toEqual(usage(10, 5));
    expect(readUsage({ prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: null })).toEqual(usage(10, 5));
  });

  it('takes reasoning that only the total counts for output', () => {
    expect(readUsage({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 40 })).toEqual(usage(10, 30));
    expect(readUsage({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 3 })).toEqual(usage(10, 5));
  });

  it('is written where Daypass counted in the place of the upstream, and reads as it was', () => {
    expect(writtenUsage({ input: 10, output: 5 })).toEqual({
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
    });
    expect(readUsage(writtenUsage({}))).toEqual(usage(0, 0));
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
    expect(readUsage(report)).toBeNull();
  });

  it('with absurd details is read as nothing cached, the dearest reading', () => {
    for (const cached_tokens of [-5, 1.5, 'many', Number.NaN]) {
      expect(readUsage({ prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens } })).toEqual(
        usage(10, 5),
      );
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
        const read = readUsage(report);
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
