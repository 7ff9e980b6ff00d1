import { calcPrice, type ModelPrice as ListedPrice } from '@pydantic/genai-prices';
import * as modelCards from 'gpt-tokenizer/models';
import type { Encoding, Meter, ModelPrice, Rates } from '#libs/contracts/jobs.js';
import { SEPARATE_METERS } from './cost.js';
import { encodingOf } from './encodings.js';
import { listedTiers, tierPercents, type TierPercents } from './tiers.js';

/**
 * An operator's own price of one model in DAYPASS_CONFIG, in whole nano-dollars per token, second or character, and its
 * longest answer. Each rate may be absent: the model has nothing of that kind, or no call may use it.
 */
export interface OwnPrice {
  input_usd_per_million?: number | undefined;
  cached_input_usd_per_million?: number | undefined;
  cache_write_usd_per_million?: number | undefined;
  /** Absent: the model has no output that costs, as those of embeddings. */
  output_usd_per_million?: number | undefined;
  image_input_usd_per_million?: number | undefined;
  image_output_usd_per_million?: number | undefined;
  audio_input_usd_per_million?: number | undefined;
  audio_output_usd_per_million?: number | undefined;
  usd_per_hour?: number | undefined;
  usd_per_million_characters?: number | undefined;
  image_tokens_per_image?: number | undefined;
  max_output_tokens?: number | undefined;
  /** In hundredths of the standard price. */
  tiers?: { flex?: number | undefined; priority?: number | undefined; fast?: number | undefined } | undefined;
  encoding?: Encoding | undefined;
}

/** What one model costs, and how long its longest answer is. */
export interface PricedModel {
  price: ModelPrice;
  /** What has a known price. A call that may use anything else has no bound, and is refused. */
  meters: ReadonlySet<Meter>;
  /** It reads and writes text, and nothing else that costs: what people chat with. */
  chats: boolean;
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
const TOKEN_PRICES = new Set(['input_mtok', 'output_mtok', 'cache_read_mtok', 'cache_write_mtok', 'audio_hours']);
/** Prices of audio and images. Daypass asks for those that it has a meter for, and no call uses the others. */
const OTHER_MODALITY = /_(audio|image|video)_|^(input|output)_(audio|image|video)/;
/** What these answer with is listed as plain output. */
const DRAWS = /(^|-)image(-|$)/;
const SPEAKS = /-tts(-|$)/;
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
    ...pricedBy(
      {
        input: own.input_usd_per_million,
        cachedInput: own.cached_input_usd_per_million,
        cacheWrite: own.cache_write_usd_per_million,
        output: own.output_usd_per_million,
        imageInput: own.image_input_usd_per_million,
        imageOutput: own.image_output_usd_per_million,
        audioInput: own.audio_input_usd_per_million,
        audioOutput: own.audio_output_usd_per_million,
        seconds: own.usd_per_hour,
        characters: own.usd_per_million_characters,
      },
      own.image_tokens_per_image,
    ),
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
  const { price, meters, chats } = pricedBy(listedRates(listed, 'base', model));
  if (meters.size === 0) return null;
  const tier = typeof listed.input_mtok === 'object' ? listed.input_mtok.tiers[0] : undefined;
  const long = tier && ratesOf(listedRates(listed, 'tier', model));
  return {
    price: { ...price, ...(tier && long ? { long: { ...long, aboveTokens: tier.start } } : {}) },
    meters,
    chats,
    maxOutputTokens: maxOutputTokens(model),
    tiers: listedTiers(model),
    encoding: encodingOf(model),
    searches: SEARCHES_BY_ITSELF.test(model),
  };
}

/** Whole nano-dollars by what has a price. */
type Known = Partial<Record<Exclude<Meter, 'cached'> | 'cachedInput', number | undefined>>;

function pricedBy(known: Known, imageTokensPerImage?: number): Pick<PricedModel, 'price' | 'meters' | 'chats'> {
  const separate = SEPARATE_METERS.filter((meter) => known[meter] !== undefined);
  const meters = new Set<Meter>(separate);
  if (known.input !== undefined) for (const meter of ['input', 'cached', 'cacheWrite'] as const) meters.add(meter);
  if (known.output !== undefined) meters.add('output');
  return {
    price: {
      ...ratesOf(known),
      ...Object.fromEntries(separate.map((meter) => [meter, known[meter]])),
      ...(imageTokensPerImage === undefined ? {} : { imageTokensPerImage }),
    },
    meters,
    chats: meters.has('input') && meters.has('output') && separate.length === 0,
  };
}

/** `PricedModel.meters` says whether 0 is a price. */
function ratesOf({ input = 0, cachedInput = input, cacheWrite = input, output = 0 }: Known): Rates {
  return { input, cachedInput, cacheWrite, output };
}

function listedRates(listed: ListedPrice, which: 'base' | 'tier', model: string): Known {
  const rate = (name: string, nanoOf: (usd: number) => number = nanoPerToken): number | undefined => {
    const value = listed[name];
    if (value === undefined) return undefined;
    return nanoOf(
      typeof value === 'number' ? value : which === 'base' ? value.base : (value.tiers[0]?.price ?? value.base),
    );
  };
  const output = rate('output_mtok');
  return {
    input: rate('input_mtok'),
    cachedInput: rate('cache_read_mtok'),
    cacheWrite: rate('cache_write_mtok'),
    output,
    imageInput: rate('input_image_mtok'),
    imageOutput: rate('output_image_mtok') ?? (DRAWS.test(model) ? output : undefined),
    audioInput: rate('input_audio_mtok'),
    audioOutput: rate('output_audio_mtok') ?? (SPEAKS.test(model) ? output : undefined),
    seconds: rate('audio_hours', nanoPerSecond) ?? rate('input_audio_hours', nanoPerSecond),
  };
}

/**
 * Turns dollars per million tokens into whole nano-dollars per token. Rounds up, but not for noise of binary fractions.
 */
function nanoPerToken(usdPerMillion: number): number {
  return Math.ceil(Number((usdPerMillion * 1_000).toFixed(6)));
}

function nanoPerSecond(usdPerHour: number): number {
  return Math.ceil(Number(((usdPerHour * 1e9) / 3_600).toFixed(6)));
}

function maxOutputTokens(model: string): number | null {
  const cards = modelCards as unknown as Record<string, { max_output_tokens?: number | null } | undefined>;
  return cards[model]?.max_output_tokens ?? null;
}
