import { Inject, Injectable } from '@nestjs/common';
import type { PriceBook } from '#libs/money/prices.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import type { Visitor } from './door/authenticator.service.js';
import { PRICE_BOOK } from './ingress.tokens.js';

/** The longest documented answer, for models without a documented limit. */
export const MAX_OUTPUT_TOKENS = 128_000;

export interface OfferedModel {
  id: string;
  /** The most tokens of one output. */
  maxOutputTokens: number;
}

/** The models of a key that it can call. Each has a price for all that it does, and an upstream serves its lane. */
@Injectable()
export class ModelOffer {
  constructor(
    @Inject(PRICE_BOOK) private readonly prices: PriceBook,
    private readonly lanes: LaneTable,
  ) {}

  to({ models, campaign }: Pick<Visitor, 'models' | 'campaign'>): OfferedModel[] {
    return models.flatMap((id) => {
      const priced = this.prices.find(id);
      const served = this.lanes.upstreamsOf(this.lanes.laneOf(id)).length > 0;
      if (!priced || !served || (priced.searches && !campaign.tool_prices.web_search)) return [];
      return [{ id, maxOutputTokens: priced.maxOutputTokens ?? MAX_OUTPUT_TOKENS }];
    });
  }
}
