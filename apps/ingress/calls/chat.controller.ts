import { Controller, Inject, Post, Req, Res } from '@nestjs/common';
import type { Span } from '@opentelemetry/api';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { traced, traceparentNow } from '#libs/service/tracing.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { writeHead } from '../answers/answer.head.js';
import { AnswerSession, type SessionParts } from '../answers/answer.session.js';
import { Authenticator, type Visitor } from '../door/authenticator.service.js';
import { CallService, type KeptAnswer } from './call.service.js';
import { parseChatRequest, wishOf } from '../domain/chat-request.js';
import { idempotencyOf } from '../domain/idempotency.js';
import { maxWaitOf } from '../domain/max-wait.js';
import { IngressMetrics } from '../ingress.metrics.js';
import { PlaceTeller } from '../answers/place.teller.js';
import { ReplyReader } from '../answers/reply.reader.js';

const LEFT = 'the visitor left';

@Controller('/v1/chat/completions')
export class ChatController {
  private readonly parts: SessionParts;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) logger: Logger,
    private readonly authenticator: Authenticator,
    private readonly calls: CallService,
    replies: ReplyReader,
    places: PlaceTeller,
    metrics: IngressMetrics,
  ) {
    this.parts = { calls, replies, places, metrics, logger, upstreamTimeoutMs: config.limits.upstreamTimeoutMs };
  }

  @Post()
  create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return traced('call', { kind: 'server', attributes: { 'daypass.request_id': request.id } }, (span) =>
      this.answer(request, reply, span),
    );
  }

  private async answer(request: FastifyRequest, reply: FastifyReply, span: Span): Promise<void> {
    const left = new AbortController();
    // A reason of our own: without one an error with its stack is made for every call.
    reply.raw.once('close', () => left.abort(LEFT));
    const visitor = await this.authenticator.visitor(request.headers.authorization);
    this.authenticator.refuseSuspended(visitor);
    const chat = parseChatRequest(request.body);
    span.setAttributes({
      'daypass.key_id': visitor.key.id,
      'daypass.campaign': visitor.campaign.slug,
      'gen_ai.request.model': chat.model,
    });
    const wish = wishOf(chat, request.headers);
    const wanted = {
      requestId: request.id,
      chat,
      wish,
      maxWaitMs: maxWaitOf(request.headers['x-daypass-max-wait-ms'], this.config.limits.maxWaitMs),
      idempotency: idempotencyOf(
        request.headers['idempotency-key'],
        { body: request.body, wish },
        this.config.secrets.idempotencyPepper,
      ),
      trace: traceparentNow(),
      left: left.signal,
    };
    const call = await traced('hold', {}, () => this.calls.admit(visitor, wanted));
    if (!('reply' in call)) return new AnswerSession(this.parts, call, visitor, reply).run();
    sendKept(call, visitor, reply);
    this.parts.metrics.replayed();
    this.parts.logger.info(
      { requestId: request.id, firstRequestId: call.requestId, keyId: visitor.key.id },
      'replayed',
    );
  }
}

/** The first answer once more, as it was: the same request id, the same cost, and nothing new is booked. */
function sendKept({ requestId, reply: kept }: KeptAnswer, { key }: Visitor, reply: FastifyReply): void {
  writeHead(reply, kept.status, {
    requestId,
    meta: kept.meta,
    availableNano: key.budget - key.spent - key.held,
    use: { rpm: 0, tpm: 0, requests: 0, tokens: 0 },
    headers: { ...kept.headers, 'content-type': kept.contentType, 'idempotent-replayed': 'true' },
  });
  reply.raw.end(kept.body);
}
