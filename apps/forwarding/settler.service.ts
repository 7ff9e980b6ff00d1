import { Inject, Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorAnswer } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';
import { HoldStore, type EndAnswer, type EndRequest } from '#libs/redis/hold.store.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Settlement } from './domain/settlement.js';
import { ForwardingMetrics } from './forwarding.metrics.js';

const END_ATTEMPTS = 12;
const END_PAUSE_MAX_MS = 2_000;

/** Ends calls: books what they cost and answers the visitor, in one script. */
@Injectable()
export class Settler {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly holds: HoldStore,
    private readonly box: ContentBox,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** Books the true cost. Without a reply the visitor is gone. */
  async post(ticket: Ticket, settlement: Settlement, reply: Reply | null, detail: Record<string, unknown>): Promise<void> {
    const answer = await this.end(ticket, {
      transition: 'post',
      costNano: settlement.costNano,
      usedTokens: settlement.usedTokens,
      detail: { ...settlement.detail, ...detail },
      reply,
    });
    if (answer && answer.absorbedNano > 0n) {
      this.metrics.boundExceeded();
      this.logger.error(
        { requestId: ticket.requestId, absorbedNano: answer.absorbedNano.toString() },
        'a call cost more than its bound; the operator pays the rest',
      );
    }
  }

  /** Nothing was done upstream: all of the hold goes back. */
  async refuse(ticket: Ticket, error: DaypassError, meta: ReplyMeta): Promise<void> {
    await this.end(ticket, { transition: 'void', detail: { reason: error.code }, reply: errorAnswer(error, meta) });
  }

  async void(ticket: Ticket, reason: string, reply: Reply | null): Promise<void> {
    await this.end(ticket, { transition: 'void', detail: { reason }, reply });
  }

  /** Nobody saw the end: the bound is booked until a report corrects it. */
  async presume(ticket: Ticket, reason: string, reply: Reply | null): Promise<void> {
    await this.end(ticket, { transition: 'presume', detail: { reason }, reply });
  }

  /** Repeated while Redis is away, for as long as a lease may outlive it; the script makes repeats harmless. */
  private async end(
    ticket: Ticket,
    end: Pick<EndRequest, 'transition' | 'costNano' | 'usedTokens'> & { detail: Record<string, unknown>; reply: Reply | null },
  ): Promise<EndAnswer | null> {
    const { requestId, keyId, campaignId, lane, replyTo } = ticket;
    const { reply, detail, ...rest } = end;
    const request: EndRequest = {
      requestId,
      keyId,
      campaignId,
      lane,
      replyTo,
      ...rest,
      detail: { model: ticket.model, ...detail },
      ...(reply ? { reply: this.box.seal(JSON.stringify(reply), requestId) } : {}),
    };
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.holds.end(request);
        if (answer.outcome !== 'applied')
          this.logger.warn({ requestId, outcome: answer.outcome, state: answer.state, transition: end.transition }, 'a hold was ended before');
        return answer;
      } catch (error) {
        if (attempt >= END_ATTEMPTS) {
          this.logger.error({ err: error, requestId }, 'a call could not be settled; its lease will end it');
          return null;
        }
        await sleep(Math.min(END_PAUSE_MAX_MS, 50 * 2 ** attempt));
      }
    }
  }
}
