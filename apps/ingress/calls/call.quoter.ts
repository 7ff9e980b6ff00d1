import { Inject, Injectable } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Encoding, ModelPrice } from '#libs/contracts/jobs.js';
import type { Endpoint, Request } from '#libs/endpoints/endpoint.js';
import { boundOf, type Bound } from '#libs/money/bound.js';
import { parseUsd } from '#libs/money/nano.js';
import type { PriceBook } from '#libs/money/prices.js';
import { percentOf, type TierPercents } from '#libs/money/tiers.js';
import { countTextTokens } from '#libs/money/tokens.js';
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
  lane: string;
  capTokens: number;
  /** Daypass may lower the cap to this. */
  leastCapTokens: number;
}

@Injectable()
export class CallQuoter {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(PRICE_BOOK) private readonly prices: PriceBook,
    private readonly lanes: LaneTable,
  ) {}

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
    const { outputs } = request;
    const { encoding, tiers } = priced;
    const { feeNano, toolTokens } = this.toolsOf(visitor, request, priced.searches);
    const measured = await endpoint.measure(request, {
      countTokens: (texts) => countTextTokens(texts, encoding),
      unknownTokenizer: encoding === 'bytes',
      toolTokens,
    });
    const bound = boundOf(priced.price, measured, { tierPercent, feeNano: feeNano * BigInt(outputs) });
    const lane = this.lanes.laneOf(request.model);
    const capTokens = this.capOf(request, mostTokens, lane, measured.pacedTokens);
    return {
      price: priced.price,
      tiers,
      encoding,
      bound,
      pacedInputTokens: measured.pacedTokens,
      lane,
      capTokens,
      leastCapTokens: Math.min(this.config.limits.minOutputTokens, capTokens),
    };
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
  private capOf({ capTokens, outputs }: Request, mostTokens: number, lane: string, inputTokens: number): number {
    if (capTokens !== undefined) return capTokens ?? 0;
    const { minOutputTokens, defaultOutputTokens } = this.config.limits;
    const tpm = this.lanes.largestTpm(lane);
    const laneTokens = tpm > 0 ? Math.floor((tpm - inputTokens) / outputs) : Infinity;
    return Math.max(minOutputTokens, Math.min(defaultOutputTokens, mostTokens, laneTokens));
  }
}
