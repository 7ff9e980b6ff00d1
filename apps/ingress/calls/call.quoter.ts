import { Inject, Injectable } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Encoding, Meter, Metered, ModelPrice, PacedUnits } from '#libs/contracts/jobs.js';
import type { CampaignTerms, Endpoint, Request } from '#libs/endpoints/endpoint.js';
import { isByFormula } from '#libs/endpoints/images/sizes.js';
import { nameOf } from '#libs/endpoints/registry.js';
import { boundOf, unpricedIn, type Bound } from '#libs/money/bound.js';
import { parseUsd } from '#libs/money/nano.js';
import type { PriceBook, PricedModel } from '#libs/money/prices.js';
import { percentOf, type TierPercents } from '#libs/money/tiers.js';
import { countTextTokens, decodeTokens } from '#libs/money/tokens.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { Visitor } from '../door/authenticator.service.js';
import { PRICE_BOOK } from '../ingress.tokens.js';
import { MAX_OUTPUT_TOKENS } from '../model.offer.js';

/** What a call can cost at most. */
export interface Quote {
  price: ModelPrice;
  tiers: TierPercents;
  encoding: Encoding;
  bound: Bound;
  /** Input tokens as providers count them against their limits. */
  pacedInputTokens: number;
  /** Images and seconds of sound, as they count against the lane; undefined: none. */
  pacedUnits: PacedUnits | undefined;
  /** What a broken-off call pays for beside its input and output tokens; undefined: nothing. */
  estimate: Metered | undefined;
  lane: string;
  capTokens: number;
  /** Daypass may lower the cap to this. */
  leastCapTokens: number;
  /** The texts of what the request has in tokens. */
  decoded: readonly string[] | undefined;
}

/** A response may search so often where its campaign does not say: each search costs a fee, and is read again with all others. */
const SEARCH_CALLS = 3;
/** So many images one call may make, and of this quality where its visitor leaves it open, unless its campaign says otherwise. */
const IMAGES = 4;
const IMAGE_QUALITY = 'medium';
/** So many images one answer of a model of text may have, unless its campaign says otherwise. */
const DRAWN_IMAGES = 1;
/** What a meter counts, and the field of a price that the operator can set for it. */
const UNPRICED: Readonly<Record<Meter, readonly [what: string, field: string]>> = {
  input: ['the text that it reads', 'input_usd_per_million'],
  cached: ['the text that it reads', 'input_usd_per_million'],
  cacheWrite: ['the text that it reads', 'input_usd_per_million'],
  output: ['the text that it writes', 'output_usd_per_million'],
  imageInput: ['the images that it reads', 'image_input_usd_per_million'],
  imageOutput: ['the images that it makes', 'image_output_usd_per_million'],
  audioInput: ['the sound that it hears', 'audio_input_usd_per_million'],
  audioOutput: ['the sound that it makes', 'audio_output_usd_per_million'],
  seconds: ['a second of sound', 'usd_per_hour'],
  characters: ['the characters that it reads', 'usd_per_million_characters'],
};

/** @param priced what has a price */
function unpriced(model: string, meter: Meter, { path }: Endpoint, priced: ReadonlySet<Meter>): DaypassError {
  const [what, field] = UNPRICED[meter];
  const readsOnly = meter === 'output' && priced.has('input');
  return new DaypassError(
    'unpriceable_request',
    `Nobody has told Daypass what ${what} costs for the model '${model}', so its call at ${path} has no bound. ` +
      (readsOnly ? 'A model of embeddings is served at /v1/embeddings only. ' : '') +
      `Use a model that is made for ${path}, or ask the operator to set prices.${model}.${field} in DAYPASS_CONFIG.`,
    { param: 'model' },
  );
}

function tooLong(
  { inputParam: param }: Endpoint,
  seconds: number,
  most: { seconds: number; by: 'campaign' | 'all' },
): DaypassError {
  const allowed =
    most.by === 'campaign' ? `the campaign of this key allows ${most.seconds}` : `${most.seconds} are allowed`;
  return new DaypassError(
    'invalid_request',
    `'${param}' is too long: by its bytes it may take ${seconds} seconds, and ${allowed}. Send it in parts, or as mp3, which tells its length.`,
    { param },
  );
}

/** No server that serves the model speaks this API. */
function notOffered({ path, compatibleOnly }: Endpoint, model: string): DaypassError {
  if (compatibleOnly) {
    return new DaypassError(
      'model_not_found',
      `The model '${model}' is not served at ${path}, which OpenAI has no model for any more. Use POST /v1/chat/completions.`,
      { param: 'model' },
    );
  }
  return new DaypassError(
    'endpoint_not_offered',
    `No upstream of the model '${model}' offers ${path}. Use another of the endpoints that this service has, or another model.`,
    { param: 'model' },
  );
}

@Injectable()
export class CallQuoter {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(PRICE_BOOK) private readonly prices: PriceBook,
    private readonly lanes: LaneTable,
  ) {}

  /** The request without a search that its campaign has no price for, or with as many as the campaign pays for. */
  offered({ campaign }: Visitor, endpoint: Endpoint, request: Request): Request {
    if (!request.searches || !endpoint.searching) return request;
    const price = campaign.tool_prices.web_search;
    // `quote` refuses what cannot go without.
    return endpoint.searching(request, price ? (price.max_calls ?? SEARCH_CALLS) : null) ?? request;
  }

  /** The likely input tokens of a request. @throws DaypassError as `quote` */
  async inputTokens(visitor: Visitor, endpoint: Endpoint, asked: Request): Promise<number> {
    const [form = asked] = this.forms(visitor, endpoint, asked);
    return (await this.quote(visitor, endpoint, this.offered(visitor, endpoint, form))).bound.inputTokens;
  }

  /** What the request may become under its campaign's terms: dearest first. @throws DaypassError where it may not be made */
  forms({ campaign, models }: Visitor, endpoint: Endpoint, request: Request): readonly Request[] {
    if (!endpoint.forms) return [request];
    const { max, quality = IMAGE_QUALITY } = campaign.tool_prices.images ?? {};
    return endpoint.forms(request, {
      images: { max: max ?? IMAGES, quality },
      drawing: { models: this.drawing(models), max: max ?? DRAWN_IMAGES },
    });
  }

  /** The models that make images at a known price, of a known number of tokens. */
  private drawing(models: readonly string[]): CampaignTerms['drawing']['models'] {
    return models.flatMap((model) => {
      const priced = this.prices.find(model);
      const isPriced =
        priced?.meters.has('imageOutput') && (priced.meters.has('input') || priced.meters.has('imageInput'));
      const tokensPerImage = priced?.price.imageTokensPerImage;
      if (!isPriced || (tokensPerImage === undefined && !isByFormula(model))) return [];
      return [{ model, ...(tokensPerImage === undefined ? {} : { tokensPerImage }) }];
    });
  }

  /** @throws DaypassError `model_not_found`, `unpriceable_request` or `invalid_request` */
  async quote(visitor: Visitor, endpoint: Endpoint, request: Request): Promise<Quote> {
    if (!visitor.models.includes(request.model)) {
      throw new DaypassError(
        'model_not_found',
        `The model '${request.model}' does not exist or this key has no access to it. GET /v1/models lists what it can use.`,
        { param: 'model' },
      );
    }
    const priced = this.prices.find(request.model);
    if (!priced) {
      throw new DaypassError(
        'unpriceable_request',
        `The model '${request.model}' has no known price, so its cost has no bound. The operator can set one in DAYPASS_CONFIG.`,
        { param: 'model' },
      );
    }
    const lane = this.lanes.laneOf(request.model);
    if (this.lanes.upstreamsFor(lane, nameOf(endpoint)).length === 0) throw notOffered(endpoint, request.model);
    const mostTokens = priced.maxOutputTokens ?? MAX_OUTPUT_TOKENS;
    if ((request.capTokens ?? 0) > mostTokens) {
      const param = request.params.cap;
      throw new DaypassError(
        'invalid_request',
        `'${param}' is too large: the request asks for ${request.capTokens} output tokens, and ${request.model} gives at most ${mostTokens}.`,
        { param },
      );
    }
    const tierPercent = percentOf(priced.tiers, request.serviceTier);
    if (tierPercent === undefined) {
      throw new DaypassError(
        'unpriceable_request',
        `Nobody has told Daypass what the service tier '${request.serviceTier}' costs for the model '${request.model}', so the call has no bound. ` +
          `Leave '${request.params.tier}' out, or ask the operator to set prices.<model>.tiers in DAYPASS_CONFIG.`,
        { param: request.params.tier },
      );
    }
    const { outputs, capTokens: asked } = request;
    // Before it is counted, which takes time.
    if (outputs > 0 && asked !== null && !priced.meters.has('output'))
      throw unpriced(request.model, 'output', endpoint, priced.meters);
    const { encoding, tiers } = priced;
    const { meters, price } = request.drawing ? withImages(priced, this.prices.find(request.drawing.model)) : priced;
    const { feeNano, toolTokens } = this.toolsOf(visitor, request, priced.searches);
    const measured = await endpoint.measure(request, {
      countTokens: (texts) => countTextTokens(texts, encoding),
      decodeTokens: (lists) => decodeTokens(lists, encoding),
      unknownTokenizer: encoding === 'bytes',
      toolTokens,
      priced: meters,
      ...(priced.maxOutputTokens === null ? {} : { mostOutputTokens: priced.maxOutputTokens }),
      ...(price.imageTokensPerImage === undefined ? {} : { imageTokensPerImage: price.imageTokensPerImage }),
    });
    const { audioSeconds = 0 } = measured.pace ?? {};
    const { audioSeconds: mostSeconds } = this.config.limits;
    const ofCampaign = Math.min(mostSeconds, visitor.campaign.tool_prices.audio?.max_seconds ?? mostSeconds);
    if (audioSeconds > ofCampaign)
      throw tooLong(endpoint, audioSeconds, { seconds: ofCampaign, by: ofCampaign < mostSeconds ? 'campaign' : 'all' });
    const meter = unpricedIn(meters, measured);
    if (meter) throw unpriced(request.model, meter, endpoint, meters);
    const laneTpm = this.lanes.largestTpm(lane, nameOf(endpoint));
    const leastTokens = Math.max(this.config.limits.minOutputTokens, endpoint.leastCapTokens ?? 0);
    const capTokens = this.capOf(request, { mostTokens, leastTokens }, laneTpm, measured.pacedTokens);
    const fees = BigInt(request.searchCalls ?? outputs);
    const bound = boundOf(price, measured, { tierPercent, feeNano: feeNano * fees, capTokens });
    return {
      price,
      tiers,
      encoding,
      bound,
      pacedInputTokens: measured.pacedTokens,
      pacedUnits: this.unitsOf(request, measured.pace),
      estimate: besideInput(measured.estimate),
      lane,
      capTokens,
      leastCapTokens: Math.min(leastTokens, capTokens),
      decoded: measured.decoded,
    };
  }

  /** The images of another model count against that model's limit. */
  private unitsOf({ drawing }: Request, pace: PacedUnits | undefined): PacedUnits | undefined {
    if (!pace || !drawing) return pace;
    const upstreams = this.lanes.upstreamsOf(this.lanes.laneOf(drawing.model));
    return { ...pace, drawing: upstreams.map(({ name, slot, ipm }) => ({ name, slot, ipm })) };
  }

  /** @throws DaypassError `unpriceable_request` where the campaign does not price what the request uses */
  private toolsOf({ campaign }: Visitor, request: Request, searches: boolean): { feeNano: bigint; toolTokens: number } {
    if (!request.searches && !searches) return { feeNano: 0n, toolTokens: 0 };
    const price = campaign.tool_prices.web_search;
    if (!price) {
      throw new DaypassError(
        'unpriceable_request',
        'Web search costs a fee that this campaign has not priced, so this key cannot use it. The operator can set tool_prices.web_search.',
        { param: request.searches ? request.params.search : 'model' },
      );
    }
    return { feeNano: parseUsd(price.usd_per_request), toolTokens: price.input_tokens_per_request };
  }

  /**
   * The output cap; 0: the API has none. Where Daypass sets it, the cap alone must not make a call too large for its
   * lane.
   */
  private capOf(
    { capTokens, outputs }: Request,
    { mostTokens, leastTokens }: { mostTokens: number; leastTokens: number },
    tpm: number,
    inputTokens: number,
  ): number {
    if (capTokens !== undefined) return capTokens ?? 0;
    const { defaultOutputTokens } = this.config.limits;
    const laneTokens = tpm > 0 ? Math.floor((tpm - inputTokens) / outputs) : Infinity;
    return Math.max(leastTokens, Math.min(defaultOutputTokens, mostTokens, laneTokens));
  }
}

/**
 * The price of a model of text with that of a model of images beside it. What the latter reads and writes in words costs as its
 * images do, or more: a call has one price for both.
 */
function withImages({ price, meters }: PricedModel, images: PricedModel | null): Pick<PricedModel, 'price' | 'meters'> {
  if (!images) return { price, meters };
  const { input, output, imageInput = 0, imageOutput = 0 } = images.price;
  return {
    price: { ...price, imageInput: Math.max(input, imageInput), imageOutput: Math.max(output, imageOutput) },
    meters: new Set<Meter>([...meters, 'imageInput', 'imageOutput']),
  };
}

/** undefined: nothing, as of calls with text alone. */
function besideInput({ input: _, ...estimate }: Metered): Metered | undefined {
  return Object.values(estimate).some((amount) => amount > 0) ? estimate : undefined;
}
