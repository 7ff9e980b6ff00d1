import { Inject, Injectable } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import { chatInputContents } from '#libs/moderation/chat-contents.js';
import { boundOf, imageTokensOf, type Bound } from '#libs/money/bound.js';
import { parseUsd } from '#libs/money/nano.js';
import type { PriceBook } from '#libs/money/prices.js';
import { countTextTokens } from '#libs/money/tokens.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { Visitor } from '../door/authenticator.service.js';
import type { ChatRequest } from '../domain/chat-request.js';
import { PRICE_BOOK } from '../ingress.tokens.js';

/** Documented by nobody means: as long as the longest known answer. */
const MAX_OUTPUT_TOKENS = 128_000;
const CHARACTERS_PER_TOKEN = 4;

/** What a call can cost at most, before anything is held for it. */
export interface Quote {
  price: ModelPrice;
  bound: Bound;
  /** Input tokens as providers count them against their limits: by characters, four a token; never less than really counted. */
  pacedInputTokens: number;
  lane: string;
  capTokens: number;
  /** The cap may be clamped down to this. */
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
  async quote(visitor: Visitor, request: ChatRequest): Promise<Quote> {
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
      const param = request.body.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens';
      throw new DaypassError(
        'invalid_request',
        `'${param}' is too large: ${request.model} gives at most ${mostTokens} output tokens, and ${request.capTokens} were asked for.`,
        { param },
      );
    }
    const { characters, ...measured } = await this.measure(request);
    const bound = boundOf(priced.price, { ...measured, ...this.toolsOf(visitor, request, priced.searches) });
    const pacedInputTokens = Math.max(
      bound.inputTokens,
      Math.ceil(characters / CHARACTERS_PER_TOKEN) + measured.images * measured.imageTokens,
    );
    const lane = this.lanes.laneOf(request.model);
    const capTokens = request.capTokens ?? this.defaultCap(mostTokens, lane, pacedInputTokens, request.choices);
    return {
      price: priced.price,
      bound,
      pacedInputTokens,
      lane,
      capTokens,
      leastCapTokens: Math.min(this.config.limits.minOutputTokens, capTokens),
    };
  }

  /** @throws DaypassError `unpriceable_request` where the campaign does not price what the request uses */
  private toolsOf(
    { campaign }: Visitor,
    request: ChatRequest,
    searches: boolean,
  ): { toolFeeNano: bigint; toolTokens: number } {
    if (!request.searches && !searches) return { toolFeeNano: 0n, toolTokens: 0 };
    const price = campaign.tool_prices.web_search;
    if (!price) {
      throw new DaypassError(
        'unpriceable_request',
        'Web search costs a fee that this campaign has not priced, so this key cannot use it. The operator can set tool_prices.web_search.',
        { param: request.searches ? 'web_search_options' : 'model' },
      );
    }
    return { toolFeeNano: parseUsd(price.usd_per_request), toolTokens: price.input_tokens_per_request };
  }

  private async measure(request: ChatRequest) {
    const texts = chatInputContents(request.body).flatMap((content) => (content.kind === 'text' ? [content.text] : []));
    const prediction = request.body.prediction;
    const [textTokens, predictionTokens] = await Promise.all([
      countTextTokens(texts),
      prediction === undefined || prediction === null ? 0 : countTextTokens([JSON.stringify(prediction)]),
    ]);
    return {
      characters: texts.reduce((sum, text) => sum + text.length, 0),
      textTokens,
      messages: request.messages,
      images: request.images,
      imageTokens: imageTokensOf(request.model, request.originalImages),
      predictionTokens,
      choices: request.choices,
      serviceTier: request.serviceTier,
    };
  }

  /** A cap of our own making must not be what makes a call too large for its lane. */
  private defaultCap(mostTokens: number, lane: string, inputTokens: number, choices: number): number {
    const { minOutputTokens, defaultOutputTokens } = this.config.limits;
    const tpm = this.lanes.largestTpm(lane);
    const laneRoom = tpm > 0 ? Math.floor((tpm - inputTokens) / choices) : Infinity;
    return Math.max(minOutputTokens, Math.min(defaultOutputTokens, mostTokens, laneRoom));
  }
}
