import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { METERS, type Meter, type Metered, type ModelPrice } from '#libs/contracts/jobs.js';
import { boundOf, unpricedIn } from './bound.js';
import { costOf, SEPARATE_METERS } from './cost.js';
import { PriceBook } from './prices.js';
import { SERVICE_TIERS } from './tiers.js';

const models = [
  'gpt-5.5',
  'gpt-5.4',
  'gpt-5.4-mini',
  'gpt-5.4-nano',
  'gpt-5.6-sol',
  'gpt-6-luna',
  'o4-mini',
  'gpt-4o-mini',
];
const book = new PriceBook({});
const standard = { tierPercent: 100, feeNano: 0n };
/** Text with one output. */
const measureOf = (input: number) => ({ estimate: { input }, most: { input }, perCapToken: { output: 1 } });

describe('the upper bound of a call', () => {
  it('is never below the cost of any honest usage report', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const call = fc.record({
      model: fc.constantFrom(...models),
      serviceTier: fc.constantFrom(...SERVICE_TIERS),
      mostInput: fc.integer({ min: 0, max: 1_200_000 }),
      fixedOutput: fc.integer({ min: 0, max: 600_000 }),
      outputs: fc.integer({ min: 0, max: 128 }),
      feeNano: fc.bigInt(0n, 6_000_000_000n),
      cap: fc.integer({ min: 0, max: 128_000 }),
      shares: fc.tuple(share, share, share, share),
    });
    fc.assert(
      fc.property(call, ({ model, serviceTier, mostInput, fixedOutput, outputs, feeNano, cap, shares }) => {
        const { price, tiers } = book.find(model)!;
        const tierPercent = tiers[serviceTier] ?? 100;
        const bound = boundOf(
          price,
          {
            estimate: { input: mostInput },
            most: { input: mostInput, output: fixedOutput },
            perCapToken: { output: outputs },
          },
          { tierPercent, feeNano },
        );
        const input = Math.floor(mostInput * shares[0]);
        const cached = Math.floor(input * shares[1]);
        const usage = {
          input,
          cached,
          cacheWrite: Math.floor((input - cached) * shares[2]),
          output: Math.floor((cap * outputs + fixedOutput) * shares[3]),
        };
        const held = bound.fixedNano + bound.perUnitNano * BigInt(cap);
        // Whatever is served, never dearer than what was asked for: a cheaper tier may fall back to the standard one.
        for (const percent of [tierPercent, 100])
          expect(costOf(price, usage, percent) + feeNano).toBeLessThanOrEqual(held);
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

  const anyRate = fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.nat(200_000) });
  const TEXT_RATES = { input: anyRate, cachedInput: anyRate, cacheWrite: anyRate, output: anyRate };
  const longRates = fc.option(fc.record({ ...TEXT_RATES, aboveTokens: fc.integer({ min: 1, max: 500_000 }) }), {
    nil: undefined,
  });
  const amounts = (names: readonly Meter[], max: number): fc.Arbitrary<Metered> =>
    fc.record(Object.fromEntries(names.map((name) => [name, fc.nat(max)])), { requiredKeys: [] });
  const KINDS: Record<string, readonly Meter[]> = {
    text: [],
    images: ['imageInput', 'imageOutput'],
    sound: ['audioInput', 'audioOutput'],
    hours: ['seconds'],
    characters: ['characters'],
    everything: SEPARATE_METERS,
  };

  it.each(Object.entries(KINDS))('of %s is never below the bill, whatever the prices', (_, kind) => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const counted: Meter[] = ['input', 'output', ...kind];
    const cases = fc.record({
      price: fc
        .tuple(
          fc.record({ ...TEXT_RATES, long: longRates }),
          fc.record(Object.fromEntries(kind.map((meter) => [meter, anyRate]))),
        )
        .map(([text, separate]) => ({ ...text, ...separate }) as ModelPrice),
      most: amounts(counted, 1_000_000),
      perCapToken: amounts(counted, 16),
      cap: fc.nat(128_000),
      feeNano: fc.bigInt(0n, 6_000_000_000n),
      tierPercent: fc.integer({ min: 1, max: 300 }),
      shares: fc.array(share, { minLength: METERS.length, maxLength: METERS.length }),
    });
    fc.assert(
      fc.property(cases, ({ price, most, perCapToken, cap, feeNano, tierPercent, shares }) => {
        const terms = { tierPercent, feeNano, capTokens: cap };
        const bound = boundOf(price, { estimate: {}, most, perCapToken }, terms);
        const report: Metered = {};
        for (const meter of counted)
          report[meter] = Math.floor(
            ((most[meter] ?? 0) + (perCapToken[meter] ?? 0) * cap) * shares[METERS.indexOf(meter)]!,
          );
        report.cached = Math.floor(report.input! * shares[METERS.indexOf('cached')]!);
        report.cacheWrite = Math.floor((report.input! - report.cached) * shares[METERS.indexOf('cacheWrite')]!);
        const held = bound.fixedNano + bound.perUnitNano * BigInt(cap);
        for (const percent of [tierPercent, 100]) {
          if (percent > bound.tierPercent) continue;
          expect(costOf(price, report, percent) + feeNano).toBeLessThanOrEqual(held);
        }
      }),
      { numRuns: 10_000, seed: 23 },
    );
  });

  it('asks for a rate of each meter that the call may use, and of no other', () => {
    const none = { estimate: {}, most: {}, perCapToken: {} };
    const text = new Set<Meter>(['input', 'cached', 'cacheWrite', 'output']);
    expect(unpricedIn(text, { ...measureOf(5), most: { input: 5, seconds: 0 } })).toBeUndefined();
    expect(unpricedIn(text, { ...none, most: { seconds: 1 } })).toBe('seconds');
    expect(unpricedIn(text, { ...none, estimate: { imageOutput: 1 } })).toBe('imageOutput');
    expect(unpricedIn(text, { ...none, perCapToken: { audioOutput: 1 } })).toBe('audioOutput');
    expect(unpricedIn(new Set(['seconds']), measureOf(1))).toBe('input');
  });

  it('has the estimate for what a cut call pays for, and the most for what is held', () => {
    const { price } = book.find('gpt-5.4-mini')!;
    const bound = boundOf(price, { ...measureOf(100), most: { input: 169 } }, standard);
    expect(bound.inputTokens).toBe(100);
    expect(bound.fixedNano).toBe(169n * BigInt(Math.max(price.input, price.cachedInput, price.cacheWrite)));
  });

  it('takes the long-context rates for the whole request beyond the mark', () => {
    const { price } = book.find('gpt-5.4')!;
    const at = (input: number) => boundOf(price, measureOf(input), standard);
    expect(at(1_000).perUnitNano).toBe(15_000n);
    expect(at(300_000).perUnitNano).toBe(22_500n);
  });

  it('takes them where the model may read so much of its own output again', () => {
    const { price } = book.find('gpt-5.4')!;
    const at = (capTokens: number) =>
      boundOf(price, { ...measureOf(100_000), perCapToken: { output: 1, input: 4 } }, { ...standard, capTokens });
    const dearest = (rates: typeof price.long & object): bigint =>
      BigInt(rates.output) + 4n * BigInt(Math.max(rates.input, rates.cachedInput, rates.cacheWrite));
    expect(at(1_000).perUnitNano).toBe(dearest(price as typeof price.long & object));
    expect(at(50_000).perUnitNano).toBe(dearest(price.long!));
    expect(at(50_000).fixedNano).toBeGreaterThan(at(1_000).fixedNano);
  });

  it('has no price per unit where no output costs', () => {
    const { price } = book.find('gpt-5.4')!;
    const bound = boundOf(price, { ...measureOf(10), perCapToken: {} }, { ...standard, feeNano: 7n });
    expect([bound.perUnitNano, bound.feeNano]).toEqual([0n, 7n]);
    expect(bound.fixedNano - 7n).toBe(10n * BigInt(price.cacheWrite));
  });
});
