import { Controller, Inject, Post, Req, Res, type Type } from '@nestjs/common';
import type { Span } from '@opentelemetry/api';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import { nameOf } from '#libs/endpoints/registry.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { traced, traceparentNow } from '#libs/service/tracing.js';
import { shownBody, writeHead } from '../answers/answer.head.js';
import { AnswerSession, type SessionParts } from '../answers/answer.session.js';
import { PlaceTeller } from '../answers/place.teller.js';
import { ReplyReader } from '../answers/reply.reader.js';
import { idempotencyOf } from '../domain/idempotency.js';
import { maxWaitOf } from '../domain/max-wait.js';
import { wishOf } from '../domain/wish.js';
import { Authenticator, type Visitor } from '../door/authenticator.service.js';
import { IngressMetrics } from '../ingress.metrics.js';
import { Admission, type KeptAnswer, type Wanted } from './admission.js';
import { CallService } from './call.service.js';

const LEFT = 'the visitor left';

/** One class for each API: decorators see its path only when the class is made. */
export function createCallController(endpoint: Endpoint): Type<unknown> {
  @Controller(endpoint.path)
  class CallController {
    private readonly parts: SessionParts;

    constructor(
      @Inject(CONFIG) private readonly config: DaypassConfig,
      @Inject(LOGGER) logger: Logger,
      @Inject(Authenticator) private readonly authenticator: Authenticator,
      @Inject(Admission) private readonly admission: Admission,
      @Inject(CallService) calls: CallService,
      @Inject(ReplyReader) replies: ReplyReader,
      @Inject(PlaceTeller) places: PlaceTeller,
      @Inject(IngressMetrics) metrics: IngressMetrics,
    ) {
      this.parts = { calls, replies, places, metrics, logger, upstreamTimeoutMs: config.limits.upstreamTimeoutMs };
    }

    @Post()
    create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      return traced('call', { kind: 'server', attributes: { 'daypass.request_id': request.id } }, (span) =>
        this.answer(request, reply, span),
      );
    }

    private async answer(http: FastifyRequest, reply: FastifyReply, span: Span): Promise<void> {
      const left = new AbortController();
      // With a reason: without one Node makes an error and its stack for every call.
      reply.raw.once('close', () => left.abort(LEFT));
      const visitor = await this.authenticator.visitor(http.headers.authorization);
      this.authenticator.refuseSuspended(visitor);
      const wanted = this.read(http, left.signal);
      span.setAttributes({
        'daypass.key_id': visitor.key.id,
        'daypass.campaign': visitor.campaign.slug,
        'gen_ai.request.model': wanted.request.model,
      });
      const call = await traced('hold', {}, () => this.admission.admit(visitor, wanted));
      if (!('reply' in call)) return new AnswerSession(this.parts, call, visitor, reply).run();
      sendKept(call, wanted.request.adjusted, visitor, reply);
      this.parts.metrics.replayed();
      this.parts.logger.info({ requestId: http.id, firstRequestId: call.requestId, keyId: visitor.key.id }, 'replayed');
    }

    /** @throws DaypassError that names what is wrong with the request */
    private read({ id, body, headers }: FastifyRequest, left: AbortSignal): Wanted {
      const request = endpoint.parse({ json: body, blobs: [] });
      const wish = wishOf(request.wish, headers);
      const { limits, secrets } = this.config;
      return {
        requestId: id,
        endpoint,
        request,
        wish,
        maxWaitMs: maxWaitOf(headers['x-daypass-max-wait-ms'], limits.maxWaitMs),
        idempotency: idempotencyOf(
          headers['idempotency-key'],
          { ...nameOf(endpoint), body, wish },
          secrets.idempotencyPepper,
        ),
        trace: traceparentNow(),
        left,
      };
    }
  }
  return CallController;
}

/** Sends the first answer again, with the same request id and cost. The repeat itself costs nothing. */
function sendKept(
  { requestId, reply: kept }: KeptAnswer,
  adjusted: readonly string[],
  { key }: Visitor,
  reply: FastifyReply,
): void {
  writeHead(reply, kept.status, {
    requestId,
    meta: kept.meta,
    availableNano: key.budget - key.spent - key.held,
    use: { rpm: 0, tpm: 0, requests: 0, tokens: 0 },
    adjusted,
    headers: { ...kept.headers, 'content-type': kept.contentType, 'idempotent-replayed': 'true' },
  });
  reply.raw.end(shownBody(kept));
}
