import { Controller, HttpCode, Inject, Post, Query, Req, UseInterceptors } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { isObject } from '#libs/endpoints/json.js';
import { RESPONSES } from '#libs/endpoints/responses/responses.endpoint.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { policyOf } from '../calls/admission.js';
import { CallQuoter } from '../calls/call.quoter.js';
import { NamedParts } from '../calls/named.parts.js';
import { visitorOf } from '../door/visitor.js';
import { KeyBytes } from '../door/key.bytes.js';
import { StepLine } from '../step.line.js';
import { noQuery, type Asked } from './shelf.requests.js';
import { VisitInterceptor } from './visit.interceptor.js';
import { OfVisit, stepOn, type Visit, type VisitAnswer } from './visit.js';

/** How many tokens a request would have: Daypass' own count. Nothing is sent, judged or paid. */
@Controller('/v1/responses/input_tokens')
@UseInterceptors(VisitInterceptor)
export class InputTokensController {
  private readonly named: NamedParts;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly quoter: CallQuoter,
    shelf: ShelfStore,
    steps: StepLine,
    keyBytes: KeyBytes,
  ) {
    this.named = new NamedParts(config.limits, shelf, steps, keyBytes);
  }

  @Post()
  @HttpCode(200)
  async count(@OfVisit() visit: Visit, @Req() http: FastifyRequest, @Query() query: Asked): Promise<VisitAnswer> {
    noQuery(query);
    const visitor = visitorOf(http);
    const request = await stepOn(visit, () => RESPONSES.parse({ json: withoutStream(visit.body), blobs: [] }));
    const sent = { bytes: visit.bodyBytes, isCounted: true, blobs: [] };
    const wanted = { endpoint: RESPONSES, request, sent, wish: request.wish };
    const whole = request.refs?.length
      ? (await this.named.expanded(visitor, wanted, policyOf(visitor, wanted))).request
      : request;
    const tokens = await stepOn(visit, () => this.quoter.inputTokens(visitor, RESPONSES, whole));
    return { shown: () => ({ object: 'response.input_tokens', input_tokens: tokens }) };
  }
}

/** Nobody waits for an answer here, whatever its form would be. */
function withoutStream(body: unknown): unknown {
  if (!isObject(body)) return body;
  const { stream: _, stream_options: __, background: ___, ...rest }: JsonObject = body;
  return rest;
}
