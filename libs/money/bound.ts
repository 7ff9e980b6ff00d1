import type { ModelPrice, Rates } from '#libs/contracts/jobs.js';
import { ratesFor, TIER_PERCENT } from './cost.js';

/** What of a request decides how dear it can become. */
export interface Measure {
  /** Counted tokens of everything the model will read as text. */
  textTokens: number;
  messages: number;
  images: number;
  /** Bound of one image's tokens. */
  imageTokens: number;
  /** Predicted output; rejected tokens of it are billed as output. */
  predictionTokens: number;
  choices: number;
  serviceTier: string;
  /** Of hosted tools, for each choice: fees in nano-dollars, and tokens of their results that the model reads. */
  toolFeeNano: bigint;
  toolTokens: number;
}

export interface Bound {
  /** Best estimate of the input, what an aborted call is billed for. */
  inputTokens: number;
  /** No honest usage report says more. */
  inputBoundTokens: number;
  /** Nano-dollars that do not depend on the length of the output. */
  fixedNano: bigint;
  /** Nano-dollars of one more output token, over all choices. */
  perTokenNano: bigint;
  /** Nano-dollars per token at the tier and length that the bound is reckoned by. */
  rates: Rates;
  /** Nano-dollars of hosted tools, whatever the call uses; part of `fixedNano`. */
  feeNano: bigint;
  /** That tier in hundredths of the standard price: a cheaper one may serve at the standard price. */
  tierPercent: number;
}

/** Each message is wrapped in three or four tokens, the answer primed by three more; names and roles cost one each. */
const MESSAGE_TOKENS = 6;
const PRIMING_TOKENS = 8;
/** Room for what an upstream puts around a request unseen (tool preambles, schema wrappers), and for other tokenizers. */
const MARGIN_PERCENT = 5;
const MARGIN_TOKENS = 64;

/** The upper bound of a call: input at the dearest rate that could apply, plus output cap × choices at the output rate. */
export function boundOf(price: ModelPrice, measure: Measure): Bound {
  const toolTokens = measure.toolTokens * measure.choices;
  const inputTokens =
    measure.textTokens +
    toolTokens +
    measure.messages * MESSAGE_TOKENS +
    PRIMING_TOKENS +
    measure.images * measure.imageTokens;
  const inputBoundTokens = Math.ceil((inputTokens * (100 + MARGIN_PERCENT)) / 100) + MARGIN_TOKENS;
  const tierPercent = Math.max(100, TIER_PERCENT[measure.serviceTier] ?? 100);
  const rates = atTier(ratesFor(price, inputBoundTokens), tierPercent);
  const dearestInput = BigInt(Math.max(rates.input, rates.cachedInput, rates.cacheWrite));
  const perTokenNano = BigInt(rates.output) * BigInt(measure.choices);
  const feeNano = measure.toolFeeNano * BigInt(measure.choices);
  const fixedNano = BigInt(inputBoundTokens) * dearestInput + perTokenNano * BigInt(measure.predictionTokens) + feeNano;
  return { inputTokens, inputBoundTokens, fixedNano, perTokenNano, rates, feeNano, tierPercent };
}

function atTier(rates: Rates, percent: number): Rates {
  const at = (rate: number): number => Math.ceil((rate * percent) / 100);
  return {
    input: at(rates.input),
    cachedInput: at(rates.cachedInput),
    cacheWrite: at(rates.cacheWrite),
    output: at(rates.output),
  };
}

/** What one image can cost at most: 2,500 patches × 1.2, or 1,536 × 2.46, whichever model (OpenAI, "Images and vision"; multipliers as users measured them). */
const IMAGE_TOKENS = 4_000;
/** gpt-4o-mini counts tiles at 33 times the tokens: 2,833 + 8 × 5,667. */
const IMAGE_TOKENS_4O_MINI = 48_200;
/** `detail: "original"`: up to 10,000 patches, at the largest multiplier known. */
const IMAGE_TOKENS_ORIGINAL = 24_600;

export function imageTokensOf(model: string, original: boolean): number {
  if (model.includes('4o-mini')) return IMAGE_TOKENS_4O_MINI;
  return original ? IMAGE_TOKENS_ORIGINAL : IMAGE_TOKENS;
}
