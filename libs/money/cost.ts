import type { Meter, Metered, ModelPrice, Rates } from '#libs/contracts/jobs.js';

export type { Meter, Metered };

/** Tokens of text, as every usage of a model that writes has them. */
export type TextMetered = Record<'input' | 'cached' | 'cacheWrite' | 'output', number>;

/** The meters that have a rate of their own, and no part of another meter. */
export const SEPARATE_METERS = [
  'imageInput',
  'imageOutput',
  'audioInput',
  'audioOutput',
  'seconds',
  'characters',
] as const;

/** All tokens together. */
export function tokensOf({ input = 0, output = 0, imageInput = 0, imageOutput = 0, ...sound }: Metered): number {
  return input + output + imageInput + imageOutput + (sound.audioInput ?? 0) + (sound.audioOutput ?? 0);
}

/** The rates for a request of so many input tokens: a long one costs more for all of its tokens. */
export function ratesFor(price: ModelPrice, inputTokens: number): Rates {
  return price.long && inputTokens > price.long.aboveTokens ? price.long : price;
}

/** The true cost in nano-dollars, rounded up where a service tier halves an odd price. What has no rate costs nothing. */
export function costOf(price: ModelPrice, metered: Metered, tierPercent = 100): bigint {
  const { input = 0, output = 0 } = metered;
  const rates = ratesFor(price, input);
  const cached = Math.min(metered.cached ?? 0, input);
  const cacheWrite = Math.min(metered.cacheWrite ?? 0, input - cached);
  const text =
    BigInt(input - cached - cacheWrite) * BigInt(rates.input) +
    BigInt(cached) * BigInt(rates.cachedInput) +
    BigInt(cacheWrite) * BigInt(rates.cacheWrite) +
    BigInt(output) * BigInt(rates.output);
  const full = SEPARATE_METERS.reduce(
    (sum, meter) => sum + BigInt(metered[meter] ?? 0) * BigInt(price[meter] ?? 0),
    text,
  );
  return (full * BigInt(tierPercent) + 99n) / 100n;
}
