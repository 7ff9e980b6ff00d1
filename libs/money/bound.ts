import { METERS, type Meter, type Metered, type ModelPrice, type Rates } from '#libs/contracts/jobs.js';
import { ratesFor, SEPARATE_METERS, tokensOf } from './cost.js';

/** What decides how much a request can cost. */
export interface Measure {
  /** The best estimate of what it uses beside the output under the cap, which a broken-off call pays. */
  estimate: Metered;
  /** The most that an honest usage report can have, beside the output under the cap. */
  most: Metered;
  /** The tokens that one more token of the cap adds over all outputs. */
  perCapToken: Metered;
}

/** The terms under which the upstream serves it. */
export interface BoundTerms {
  /** What the service tier costs, in hundredths of the standard price. */
  tierPercent: number;
  /** Fees of hosted tools beside the tokens. */
  feeNano: bigint;
  /** The largest cap that the call may have: where the model reads its own output again, that is input, too. */
  capTokens?: number;
}

export interface Bound {
  /** The best estimate of the input, which a broken-off call pays. */
  inputTokens: number;
  /** The best estimate of all its tokens beside the output under the cap: images and sound as well. */
  estimatedTokens: number;
  /** Nano-dollars that do not depend on the length of the output. */
  fixedNano: bigint;
  /** Nano-dollars of one more token of the cap, over all outputs. */
  perUnitNano: bigint;
  /** Nano-dollars per token at the tier and length of the bound. */
  rates: Rates;
  /** Nano-dollars of hosted tools, whatever the call uses; part of `fixedNano`. */
  feeNano: bigint;
  /** The tier in hundredths of the standard price, at least 100: a cheaper tier may serve at the standard price. */
  tierPercent: number;
}

/** The first meter that the call may use and nobody has priced. */
export function unpricedIn(meters: ReadonlySet<Meter>, { estimate, most, perCapToken }: Measure): Meter | undefined {
  return [most, perCapToken, estimate]
    .flatMap((metered) => METERS.filter((meter) => (metered[meter] ?? 0) > 0))
    .find((meter) => !meters.has(meter));
}

/** The bound of a call: all tokens at the dearest rate that could apply. */
export function boundOf(
  price: ModelPrice,
  measure: Measure,
  { tierPercent: askedPercent, feeNano, capTokens = 0 }: BoundTerms,
): Bound {
  const { most, perCapToken, estimate } = measure;
  const tierPercent = Math.max(100, askedPercent);
  const long = ratesFor(price, (most.input ?? 0) + (perCapToken.input ?? 0) * capTokens);
  const rates = atTier(price, long, tierPercent);
  const dearestInput = Math.max(rates.input, rates.cachedInput, rates.cacheWrite);
  const dearest = (metered: Metered): bigint =>
    SEPARATE_METERS.reduce(
      (sum, meter) => sum + BigInt(metered[meter] ?? 0) * BigInt(rateAt(price[meter] ?? 0, tierPercent)),
      BigInt(metered.input ?? 0) * BigInt(dearestInput) + BigInt(metered.output ?? 0) * BigInt(rates.output),
    );
  return {
    inputTokens: estimate.input ?? 0,
    estimatedTokens: tokensOf(estimate),
    fixedNano: dearest(most) + feeNano,
    perUnitNano: dearest(perCapToken),
    rates,
    feeNano,
    tierPercent,
  };
}

/** The dearer of each rate: a short report of a call that may be long pays the rates of short ones. */
function atTier(short: Rates, long: Rates, percent: number): Rates {
  const at = (name: keyof Rates): number => rateAt(Math.max(short[name], long[name]), percent);
  return {
    input: at('input'),
    cachedInput: at('cachedInput'),
    cacheWrite: at('cacheWrite'),
    output: at('output'),
  };
}

const rateAt = (rate: number, percent: number): number => Math.ceil((rate * percent) / 100);

/**
 * What one image can cost at most: 2,500 patches × 1.2, or 1,536 × 2.46, whichever model (OpenAI, "Images and vision";
 * multipliers as users measured them).
 */
const IMAGE_TOKENS = 4_000;
/** gpt-4o-mini counts tiles at 33 times the tokens: 2,833 + 8 × 5,667. */
const IMAGE_TOKENS_4O_MINI = 48_200;
/** `detail: "original"`: up to 10,000 patches, at the largest multiplier known. */
const IMAGE_TOKENS_ORIGINAL = 24_600;

export function imageTokensOf(model: string, original: boolean): number {
  if (model.includes('4o-mini')) return IMAGE_TOKENS_4O_MINI;
  return original ? IMAGE_TOKENS_ORIGINAL : IMAGE_TOKENS;
}
