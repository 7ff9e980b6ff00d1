import type { ModelPrice, Rates } from '#libs/contracts/jobs.js';

/** What providers price separately. `cached` and `cacheWrite` are parts of `input`. */
export type Meter = 'input' | 'cached' | 'cacheWrite' | 'output';
/** Tokens by meter, as an upstream reports them, or as Daypass counts them in its place. */
export type Metered = Partial<Record<Meter, number>>;

/** The rates for a request of so many input tokens: a long one costs more for all of its tokens. */
export function ratesFor(price: ModelPrice, inputTokens: number): Rates {
  return price.long && inputTokens > price.long.aboveTokens ? price.long : price;
}

/** The true cost in nano-dollars, rounded up where a service tier halves an odd price. */
export function costOf(price: ModelPrice, metered: Metered, tierPercent = 100): bigint {
  const { input = 0, output = 0 } = metered;
  const rates = ratesFor(price, input);
  const cached = Math.min(metered.cached ?? 0, input);
  const cacheWrite = Math.min(metered.cacheWrite ?? 0, input - cached);
  const full =
    BigInt(input - cached - cacheWrite) * BigInt(rates.input) +
    BigInt(cached) * BigInt(rates.cachedInput) +
    BigInt(cacheWrite) * BigInt(rates.cacheWrite) +
    BigInt(output) * BigInt(rates.output);
  return (full * BigInt(tierPercent) + 99n) / 100n;
}
