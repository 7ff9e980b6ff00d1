import { Inject, Injectable } from '@nestjs/common';
import type { DaypassError } from '#libs/contracts/errors.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import type { Reply } from '#libs/contracts/reply.js';
import { CallEnder, type DispatchedCall, type EndingCall, type Posting } from '#libs/holds/call-ender.js';
import type { EndAnswer } from '#libs/holds/hold.types.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { metaOf } from '../domain/reply-meta.js';
import type { Settlement } from '../domain/settlement.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';

/** Ends calls of this service, and logs each end that is not as it should be. Never fails. */
@Injectable()
export class CallEnds {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ender: CallEnder,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** Books the cost, or the bound where nobody knows the cost. */
  async post(
    call: DispatchedCall,
    { costNano, usedTokens, drawn, detail, presumed }: Settlement,
    reply: Reply | null,
    outcome: string,
    more: Pick<Posting, 'kept' | 'strike' | 'events'> = {},
  ): Promise<void> {
    const { kept, strike, events } = more;
    const details = {
      detail: { ...detailOf(call), ...detail, attempt: call.dispatched.attempt, outcome },
      reply,
      kept,
      strike,
      events,
    };
    this.metrics.settled(call.ticket, detail.usage);
    if (presumed) return void (await this.watch(call, 'presume', this.ender.presume(call, details)));
    const posting: Posting = { ...details, costNano, usedTokens, drawn };
    const answer = await this.watch(call, 'post', this.ender.post(call, posting));
    if (!answer || answer.absorbedNano === 0n) return;
    this.metrics.boundExceeded();
    this.logger.error(
      { requestId: call.ticket.requestId, absorbedNano: answer.absorbedNano.toString() },
      'a call cost more than its bound; the operator pays the rest',
    );
  }

  async void(call: EndingCall, reason: string, reply: Reply | null, strike = false): Promise<void> {
    const details = { detail: { ...detailOf(call), reason }, reply, strike };
    await this.watch(call, 'void', this.ender.void(call, details));
  }

  async refuse(call: EndingCall, error: DaypassError, queueMs: number): Promise<void> {
    const meta = metaOf(call.ticket, queueMs);
    await this.watch(call, 'void', this.ender.refuse(call, error, meta, detailOf(call)));
  }

  async presume(call: DispatchedCall, reason: string, reply: Reply | null, strike = false): Promise<void> {
    const details = { detail: { ...detailOf(call), reason }, reply, strike };
    await this.watch(call, 'presume', this.ender.presume(call, details));
  }

  private async watch(
    { ticket: { requestId } }: EndingCall,
    transition: 'post' | 'void' | 'presume',
    end: Promise<EndAnswer>,
  ): Promise<EndAnswer | null> {
    try {
      const answer = await end;
      const { outcome, state } = answer;
      if (outcome !== 'applied')
        this.logger.warn({ requestId, outcome, state, transition }, 'the hold had ended before');
      return answer;
    } catch (error) {
      this.logger.error({ err: error, requestId }, 'forwarding could not end a call; the sweeper will');
      return null;
    }
  }
}

function detailOf({ ticket, dispatched }: EndingCall): Record<string, unknown> {
  const upstream = dispatched && dispatched.upstream !== FIRST_UPSTREAM ? { upstream: dispatched.upstream } : {};
  return { model: ticket.model, ...upstream };
}
