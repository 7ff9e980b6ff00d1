import { Controller, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/platform/platform.tokens.js';
import { AnswerService } from './answer.service.js';
import { Authenticator } from './authenticator.service.js';
import { CallService } from './call.service.js';
import { parseChatRequest, wishOf } from './domain/chat-request.js';
import { maxWaitOf } from './domain/max-wait.js';

@Controller('/v1/chat/completions')
export class ChatController {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly authenticator: Authenticator,
    private readonly calls: CallService,
    private readonly answers: AnswerService,
  ) {}

  @Post()
  async create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const visitor = await this.authenticator.visitor(request.headers.authorization);
    this.authenticator.refuseSuspended(visitor);
    const chat = parseChatRequest(request.body);
    const maxWaitMs = maxWaitOf(request.headers['x-daypass-max-wait-ms'], this.config.limits.maxWaitMs);
    const call = await this.calls.admit(request.id, visitor, chat, wishOf(chat, request.headers), maxWaitMs);
    await this.answers.answer(call, visitor, reply, maxWaitMs);
  }
}
