import { describe, expect, it } from '@jest/globals';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import { costOf, ratesFor } from './cost.js';

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

  it('is each meter at its own rate, and none is part of another', () => {
    const all: ModelPrice = {
      ...price,
      ...{ imageInput: 2, imageOutput: 3, audioInput: 5, audioOutput: 7, seconds: 11, characters: 13 },
    };
    const separate = { imageInput: 1, imageOutput: 10, audioInput: 100, audioOutput: 1_000 };
    const metered = { ...usage(1_000, 100), ...separate, seconds: 10_000, characters: 100_000 };
    expect(costOf(all, metered) - costOf(all, usage(1_000, 100))).toBe(1_417_532n);
    expect(costOf(price, metered)).toBe(costOf(price, usage(1_000, 100)));
  });

  it('is nothing for nothing', () => {
    expect(costOf(price, usage(0, 0))).toBe(0n);
    expect(costOf(price, {})).toBe(0n);
  });

  it('takes the dearer rates for the whole request beyond the long-context mark, not at it', () => {
    expect(ratesFor(long, 272_000)).toBe(long);
    expect(costOf(long, usage(272_000, 10))).toBe(272_000n * 750n + 10n * 4_500n);
    expect(costOf(long, usage(272_001, 10, 1))).toBe(272_000n * 1_500n + 150n + 10n * 6_750n);
  });

  it('is half on flex, rounded up, and double on priority', () => {
    const odd: ModelPrice = { input: 75, cachedInput: 75, cacheWrite: 75, output: 75 };
    expect(costOf(odd, usage(1, 0), 50)).toBe(38n);
    expect(costOf(odd, usage(1, 0), 200)).toBe(150n);
    expect(costOf(odd, usage(1, 0), 100)).toBe(75n);
  });

  it('stays exact where doubles would not', () => {
    expect(costOf({ ...price, output: 600_001 }, usage(0, 100_000_000_003))).toBe(600_001n * 100_000_000_003n);
  });

  it('counts a report of more cached than input as all cached, never as negative plain input', () => {
    expect(costOf(price, usage(100, 0, 1_000, 1_000))).toBe(7_500n);
  });
});
