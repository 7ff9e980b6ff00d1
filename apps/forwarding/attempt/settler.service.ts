import { Inject, Injectable } from '@nestjs/common';
import { errorAnswer, isKept } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { EndAnswer, EndRequest } from '#libs/holds/hold.types.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Settlement } from '../domain/settlement.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';
import { insist, mended } from '#libs/redis/insist.js';

/** A call at its end. `attempt` 0: it was never dispatched. */
export interface EndingCall {
  ticket: Ticket;
  attempt: number;
  upstream: string;
  /** Of that upstream, in a row until this call. */
  failures: number;
}

/** What goes with a booking: `kept` stands for a stream that was shown piece by piece; verdicts that are not in the record yet. */
interface Posted extends Pick<EndRequest, 'strike' | 'events'> {
  kept?: Reply;
}

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
  async post(
    call: EndingCall,
    settlement: Settlement,
    reply: Reply | null,
    outcome: string,
    more: Posted = {},
  ): Promise<void> {
    const { kept, strike, events } = more;
    const answer = await this.end(call, {
      transition: 'post',
      costNano: settlement.costNano,
      usedTokens: settlement.usedTokens,
      detail: { ...settlement.detail, attempt: call.attempt, outcome },
      reply,
      kept,
      ...(strike ? { strike } : {}),
      ...(events ? { events } : {}),
    });
    if (answer && answer.absorbedNano > 0n) {
      this.metrics.boundExceeded();
      this.logger.error(
        { requestId: call.ticket.requestId, absorbedNano: answer.absorbedNano.toString() },
        'a call cost more than its bound; the operator pays the rest',
      );
    }
  }

  /**
   * Nothing was done upstream: all of the hold goes back. The circumstances were against the call, not its contents, so that
   * the same call may be sent again under its idempotency key.
   */
  async refuse(call: EndingCall, error: DaypassError, meta: ReplyMeta): Promise<void> {
    await this.end(call, {
      transition: 'void',
      detail: { reason: error.code },
      reply: errorAnswer(error, meta),
      kept: null,
    });
  }

  async void(call: EndingCall, reason: string, reply: Reply | null, strike?: EndRequest['strike']): Promise<void> {
    await this.end(call, { transition: 'void', detail: { reason }, reply, ...(strike ? { strike } : {}) });
  }

  /** Nobody saw the end: the bound is booked until a report corrects it. */
  async presume(call: EndingCall, reason: string, reply: Reply | null, strike?: EndRequest['strike']): Promise<void> {
    await this.end(call, { transition: 'presume', detail: { reason }, reply, ...(strike ? { strike } : {}) });
  }

  private async end(
    { ticket, attempt, upstream }: EndingCall,
    end: Pick<EndRequest, 'transition' | 'costNano' | 'usedTokens' | 'strike' | 'events'> & {
      detail: Record<string, unknown>;
      reply: Reply | null;
      /** For a repeat under the idempotency key: this, or the reply (undefined), or nothing (null). */
      kept?: Reply | null | undefined;
    },
  ): Promise<EndAnswer | null> {
    const { requestId, keyId, campaignId, lane, replyTo, day } = ticket;
    const { reply, kept, detail, ...rest } = end;
    const seal = (what: Reply): Buffer => this.box.seal(JSON.stringify(what), requestId);
    const keep =
      !ticket.keepAnswer || kept === null
        ? undefined
        : kept && isKept(kept)
          ? seal(kept)
          : reply && isKept(reply)
            ? 'reply'
            : undefined;
    const request: EndRequest = {
      requestId,
      keyId,
      campaignId,
      lane,
      replyTo,
      ...rest,
      detail: { model: ticket.model, ...(attempt > 0 && upstream !== FIRST_UPSTREAM ? { upstream } : {}), ...detail },
      ...(reply ? { reply: seal(reply) } : {}),
      ...(keep ? { keep } : {}),
      ...(attempt > 0 ? { dispatched: { amountNano: BigInt(ticket.heldNano), day, attempt, upstream } } : {}),
    };
    try {
      const answer = await insist(() => this.holds.end(request).then(mended));
      if (answer.outcome !== 'applied')
        this.logger.warn(
          { requestId, outcome: answer.outcome, state: answer.state, transition: end.transition },
          'a hold was ended before',
        );
      return answer;
    } catch (error) {
      this.logger.error({ err: error, requestId }, 'a call could not be settled; its lease will end it');
      return null;
    }
  }
}
