import { Controller, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { inquiryOf, MODERATIONS_PATH } from '#libs/endpoints/moderations/moderations.request.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { toldBytes, writeHead } from '../answers/answer.head.js';
import { maxWaitOf } from '../domain/max-wait.js';
import type { ReadBody } from '../door/body.reader.js';
import { KeyBytes } from '../door/key.bytes.js';
import { publicUrlOf } from '../door/public.url.js';
import { visitorOf } from '../door/visitor.js';
import { StepLine } from '../step.line.js';
import { InquiryClient } from './inquiry.client.js';

/** The provider's moderation for visitors. It is free, nobody judges what they ask, and no answer leads to a strike. */
@Controller(MODERATIONS_PATH)
export class ModerationsController {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly inquiries: InquiryClient,
    private readonly steps: StepLine,
    private readonly keyBytes: KeyBytes,
  ) {}

  @Post()
  async create(@Req() http: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const sent = http.body as ReadBody | undefined;
    http.body = undefined;
    const visitor = visitorOf(http);
    const { limits, moderationModel } = this.config;
    const sum = { bytes: sent?.bytes ?? 0, isCounted: sent?.isCounted ?? true };
    const left = new AbortController();
    const leave = (): void => left.abort('the visitor left');
    reply.raw.once('close', leave);
    try {
      const inquiry = await this.steps.run(visitor.key.id, sum.bytes, () => inquiryOf(sent?.json, moderationModel));
      const maxWaitMs = maxWaitOf(http.headers['x-daypass-max-wait-ms'], limits.maxWaitMs);
      const { answer, after } = await this.inquiries.ask(visitor, inquiry, {
        requestId: http.id,
        sent: sum,
        maxWaitMs,
        left: left.signal,
      });
      const { rpm, tpm } = visitor.key;
      const shown = toldBytes(answer.status, answer.bytes, publicUrlOf(http.headers, this.config));
      writeHead(reply, answer.status, {
        requestId: http.id,
        meta: answer.meta,
        availableNano: after.availableNano,
        use: { rpm, tpm, requests: after.windowRequests, tokens: after.windowTokens },
        adjusted: [],
        headers: {
          ...answer.headers,
          'content-type': answer.contentType,
          'content-length': String(shown.length),
        },
      });
      reply.raw.end(shown);
    } catch (error) {
      if (!sum.isCounted) await this.keyBytes.count(visitor.key.id, sum.bytes);
      throw error;
    } finally {
      sent?.place.leave();
      reply.raw.off('close', leave);
    }
  }
}
