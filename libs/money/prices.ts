import { calcPrice, type ModelPrice as ListedPrice } from '@pydantic/genai-prices';
import * as modelCards from 'gpt-tokenizer/models';
import type { Encoding, ModelPrice, Rates } from '#libs/contracts/jobs.js';
import { encodingOf } from './encodings.js';
import { listedTiers, tierPercents, type TierPercents } from './tiers.js';

/** An operator's own price of one model in DAYPASS_CONFIG, in whole nano-dollars per token, and its longest answer. */
export interface OwnPrice {
  input_usd_per_million: number;
  cached_input_usd_per_million?: number | undefined;
  cache_write_usd_per_million?: number | undefined;
  /** Absent: the model has no output that costs, as those of embeddings. */
  output_usd_per_million?: number | undefined;
  max_output_tokens?: number | undefined;
  /** In hundredths of the standard price. */
  tiers?: { flex?: number | undefined; priority?: number | undefined; fast?: number | undefined } | undefined;
  encoding?: Encoding | undefined;
}

/** What one model costs, and how long its longest answer is. */
export interface PricedModel {
  price: ModelPrice;
  /** An output has a known price. Otherwise only APIs without output may call the model. */
  pricesOutput: boolean;
  /** The most tokens of one output; null: undocumented. */
  maxOutputTokens: number | null;
  /** The service tiers that have a known price. */
  tiers: TierPercents;
  /** How its tokens are counted. */
  encoding: Encoding;
  /** The model searches the web by itself, for a fee that its campaign must price. */
  searches: boolean;
}

/** A listed price may have these fees, too: for hosted tools, which Daypass refuses or the campaign prices itself. */
const HARMLESS_FEES = new Set(['web_searches_kcount', 'storage_searches_kcount']);
const TOKEN_PRICES = new Set(['input_mtok', 'output_mtok', 'cache_read_mtok', 'cache_write_mtok']);
/** Prices of audio and images, which Daypass refuses or prices by tokens. */
const OTHER_MODALITY = /_(audio|image|video)_|^(input|output)_(audio|image|video)/;
/** These search the web once for each answer, for a fee (OpenAI, "Web search", Chat Completions). */
const SEARCHES_BY_ITSELF = /-search-(preview|api)/;
/** These search the web any number of times. */
const SEARCHES_WITHOUT_BOUND = /deep-research/;

/**
 * Finds the price of a model: the operator's own first, then the package's. Daypass serves no model without a price.
 */
export class PriceBook {
  private readonly found = new Map<string, PricedModel | null>();

  constructor(private readonly own: Readonly<Record<string, OwnPrice>>) {}

  /** null: nobody knows this model's price, so that a call to it has no bound. */
  find(model: string): PricedModel | null {
    const former = this.found.get(model);
    if (former !== undefined) return former;
    const own = Object.hasOwn(this.own, model) ? this.own[model] : undefined;
    const priced = own ? ownPrice(own, model) : listedPrice(model);
    // Only models of campaigns come here, so that the map stays small. The bound is for campaigns with thousands.
    if (this.found.size < 10_000) this.found.set(model, priced);
    return priced;
  }
}

function ownPrice(own: OwnPrice, model: string): PricedModel {
  return {
    price: {
      input: own.input_usd_per_million,
      cachedInput: own.cached_input_usd_per_million ?? own.input_usd_per_million,
      cacheWrite: own.cache_write_usd_per_million ?? own.input_usd_per_million,
      output: own.output_usd_per_million ?? 0,
    },
    pricesOutput: own.output_usd_per_million !== undefined,
    maxOutputTokens: own.max_output_tokens ?? maxOutputTokens(model),
    // Whoever sets a price of their own knows alone what its tiers cost.
    tiers: tierPercents(own.tiers ?? {}),
    encoding: own.encoding ?? encodingOf(model),
    searches: SEARCHES_BY_ITSELF.test(model),
  };
}

function listedPrice(model: string): PricedModel | null {
  if (SEARCHES_WITHOUT_BOUND.test(model)) return null;
  const listed = calcPrice({ input_tokens: 0, output_tokens: 0 }, model, { providerId: 'openai' })?.model_price;
  if (!listed) return null;
  const unknownFee = Object.keys(listed).find(
    (name) => !TOKEN_PRICES.has(name) && !HARMLESS_FEES.has(name) && !OTHER_MODALITY.test(name),
  );
  if (unknownFee !== undefined) return null;
  const base = listedRates(listed, 'base');
  if (!base) return null;
  const tier = typeof listed.input_mtok === 'object' ? listed.input_mtok.tiers[0] : undefined;
  const long = tier ? listedRates(listed, 'tier') : null;
  return {
    price: { ...base, ...(tier && long ? { long: { ...long, aboveTokens: tier.start } } : {}) },
    pricesOutput: listed.output_mtok !== undefined,
    maxOutputTokens: maxOutputTokens(model),
    tiers: listedTiers(model),
    encoding: encodingOf(model),
    searches: SEARCHES_BY_ITSELF.test(model),
  };
}

function listedRates(listed: ListedPrice, which: 'base' | 'tier'): Rates | null {
  const rate = (name: string): number | null => {
    const value = listed[name];
    if (value === undefined) return null;
    const usdPerMillion =
      typeof value === 'number' ? value : which === 'base' ? value.base : (value.tiers[0]?.price ?? value.base);
    return nanoPerToken(usdPerMillion);
  };
  const input = rate('input_mtok');
  if (input === null) return null;
  return {
    input,
    cachedInput: rate('cache_read_mtok') ?? input,
    cacheWrite: rate('cache_write_mtok') ?? input,
    // `pricesOutput` says whether 0 is a price.
    output: rate('output_mtok') ?? 0,
  };
}

/**
 * Turns dollars per million tokens into whole nano-dollars per token. Rounds up, but not for noise of binary fractions.
 */
function nanoPerToken(usdPerMillion: number): number {
  return Math.ceil(Number((usdPerMillion * 1_000).toFixed(6)));
}

function maxOutputTokens(model: string): number | null {
  const cards = modelCards as unknown as Record<string, { max_output_tokens?: number | null } | undefined>;
  return cards[model]?.max_output_tokens ?? null;
}
