import { Controller, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/observability/logger.js';
import { CONFIG, LOGGER } from '#libs/platform/platform.tokens.js';
import { AnswerSession, type SessionParts } from './answer.session.js';
import { Authenticator } from './authenticator.service.js';
import { CallService } from './call.service.js';
import { parseChatRequest, wishOf } from './domain/chat-request.js';
import { maxWaitOf } from './domain/max-wait.js';
import { IngressMetrics } from './ingress.metrics.js';
import { ReplyReader } from './reply.reader.js';

@Controller('/v1/chat/completions')
export class ChatController {
  private readonly parts: SessionParts;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) logger: Logger,
    private readonly authenticator: Authenticator,
    private readonly calls: CallService,
    replies: ReplyReader,
    metrics: IngressMetrics,
  ) {
    this.parts = { calls, replies, metrics, logger, upstreamTimeoutMs: config.limits.upstreamTimeoutMs };
  }

  @Post()
  async create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const visitor = await this.authenticator.visitor(request.headers.authorization);
    this.authenticator.refuseSuspended(visitor);
    const chat = parseChatRequest(request.body);
    const maxWaitMs = maxWaitOf(request.headers['x-daypass-max-wait-ms'], this.config.limits.maxWaitMs);
    const call = await this.calls.admit(request.id, visitor, chat, wishOf(chat, request.headers), maxWaitMs);
    await new AnswerSession(this.parts, call, visitor, reply, maxWaitMs).run();
  }
}
