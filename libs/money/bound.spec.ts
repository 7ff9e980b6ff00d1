import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { boundOf } from './bound.js';
import { costOf, TIER_PERCENT } from './cost.js';
import { PriceBook } from './prices.js';

const models = ['gpt-5.4', 'gpt-5.4-mini', 'gpt-5.4-nano', 'gpt-5.6-sol', 'gpt-6-luna', 'o4-mini', 'gpt-4o-mini'];
const book = new PriceBook({});
/** One message of text, one choice, at the standard tier. */
const plain = {
  messages: 1,
  images: 0,
  imageTokens: 0,
  predictionTokens: 0,
  choices: 1,
  serviceTier: 'default',
  toolFeeNano: 0n,
  toolTokens: 0,
};

describe('the upper bound of a call', () => {
  it('is never below the cost of any honest usage report', () => {
    const call = fc.record({
      model: fc.constantFrom(...models),
      tier: fc.constantFrom(...Object.keys(TIER_PERCENT)),
      textTokens: fc.integer({ min: 0, max: 1_000_000 }),
      messages: fc.integer({ min: 1, max: 500 }),
      images: fc.integer({ min: 0, max: 20 }),
      predictionTokens: fc.integer({ min: 0, max: 5_000 }),
      choices: fc.integer({ min: 1, max: 128 }),
      toolFeeNano: fc.bigInt(0n, 50_000_000n),
      toolTokens: fc.integer({ min: 0, max: 20_000 }),
      cap: fc.integer({ min: 1, max: 128_000 }),
      shares: fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
      ),
    });
    fc.assert(
      fc.property(call, ({ model, tier, cap, shares, ...measure }) => {
        const { price } = book.find(model)!;
        const bound = boundOf(price, { ...measure, imageTokens: 4_000, serviceTier: tier });
        const input = Math.floor(bound.inputBoundTokens * shares[0]);
        const cached = Math.floor(input * shares[1]);
        const usage = {
          input,
          cached,
          cacheWrite: Math.floor((input - cached) * shares[2]),
          output: Math.floor((cap + measure.predictionTokens) * measure.choices * shares[3]),
        };
        const held = bound.fixedNano + bound.perTokenNano * BigInt(cap);
        const fees = measure.toolFeeNano * BigInt(measure.choices);
        // Whatever is served, never dearer than what was asked for: a cheaper tier may fall back to the standard one.
        for (const percent of [TIER_PERCENT[tier]!, 100])
          expect(costOf(price, usage, percent) + fees).toBeLessThanOrEqual(held);
        // What a report leaves of a presumed call is reckoned by the rates of the bound, call by call.
        const byRates =
          BigInt(usage.input - usage.cached - usage.cacheWrite) * BigInt(bound.rates.input) +
          BigInt(usage.cached) * BigInt(bound.rates.cachedInput) +
          BigInt(usage.cacheWrite) * BigInt(bound.rates.cacheWrite) +
          BigInt(usage.output) * BigInt(bound.rates.output);
        expect(costOf(price, usage, bound.tierPercent)).toBeLessThanOrEqual(byRates);
      }),
      { numRuns: 2_000 },
    );
  });

  it('leaves a margin above the estimate for what an upstream adds unseen', () => {
    const { price } = book.find('gpt-5.4-mini')!;
    const bound = boundOf(price, { ...plain, textTokens: 100 });
    expect(bound.inputBoundTokens).toBeGreaterThan(bound.inputTokens + 50);
  });

  it('takes the long-context rates for the whole request beyond the mark', () => {
    const { price } = book.find('gpt-5.4')!;
    const at = (textTokens: number) => boundOf(price, { ...plain, textTokens });
    expect(at(1_000).perTokenNano).toBe(15_000n);
    expect(at(300_000).perTokenNano).toBe(22_500n);
  });
});
