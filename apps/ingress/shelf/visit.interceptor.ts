import { Inject, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import type { DaypassConfig } from '#libs/config/config.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { ReadBounds } from '#libs/shelf/shelf.types.js';
import { UnreadAnswers } from '../answers/unread.answers.js';
import type { ReadBody } from '../door/body.reader.js';
import { KeyBytes } from '../door/key.bytes.js';
import { publicUrlOf } from '../door/public.url.js';
import { visitorOf } from '../door/visitor.js';
import { recovering, refusalOf } from '../refusals.js';
import { StepLine } from '../step.line.js';
import { setVisit, type VisitAnswer } from './visit.js';

/**
 * Around each request that costs no money. It counts the request, keeps its body for as long as the controller works, and
 * writes the answer. Errors: `rate_limit_exceeded`, `recovering`, and the controller's.
 */
@Injectable()
export class VisitInterceptor implements NestInterceptor {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly holds: HoldStore,
    private readonly keyBytes: KeyBytes,
    private readonly steps: StepLine,
    private readonly unread: UnreadAnswers,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler<VisitAnswer>): Observable<string> {
    const http = context.switchToHttp();
    return from(
      this.answer(http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), () =>
        lastValueFrom(next.handle()),
      ),
    );
  }

  private async answer(http: FastifyRequest, reply: FastifyReply, work: () => Promise<VisitAnswer>): Promise<string> {
    const sent = http.body as ReadBody | undefined;
    http.body = undefined;
    const { key, campaign } = visitorOf(http);
    try {
      await this.count(key.id, sent);
      setVisit(http, {
        owner: { keyId: key.id, campaignId: campaign.id },
        isOff: campaign.policy.shelf === 'off' || key.policy?.shelf === 'off',
        origin: publicUrlOf(http.headers, this.config),
        bounds: this.boundsOf(key.id),
        body: sent?.json,
        bodyBytes: sent?.bytes ?? 0,
      });
      const { shown, bytes = 0 } = await work();
      const text = await this.steps.run(key.id, bytes, () => JSON.stringify(shown()));
      this.unread.watch(reply.raw, { keyId: key.id, campaignId: campaign.id });
      void reply.type('application/json; charset=utf-8');
      return text;
    } finally {
      sent?.place.leave();
    }
  }

  private async count(keyId: string, sent: ReadBody | undefined): Promise<void> {
    const bytes = sent === undefined || sent.isCounted ? 0 : sent.bytes;
    const answer = await this.holds.countRequest(keyId, bytes, this.config.limits).catch(() => {
      throw recovering();
    });
    if (answer === 'ok') return;
    throw answer.code === 'bytes' ? this.keyBytes.tooMany(keyId, answer) : refusalOf(answer);
  }

  private boundsOf(keyId: string): ReadBounds {
    const { keyBytesPerHour, bodyBytes } = this.config.limits;
    return {
      keyBytesPerHour,
      // A response may have all that a request may have, and its answer, twice.
      mostBytes: 4 * bodyBytes,
      tooMany: (answer) => this.keyBytes.tooMany(keyId, answer),
      step: (bytes, work) => this.steps.run(keyId, bytes, work),
    };
  }
}
