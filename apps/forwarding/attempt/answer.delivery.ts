import { Inject, Injectable } from '@nestjs/common';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { AnswerOf } from '#libs/endpoints/endpoint.js';
import type { Reply } from '#libs/contracts/reply.js';
import { StoppedCalls } from '#libs/holds/stopped.calls.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { AnswerRelay } from '../answers/answer.relay.js';
import { OutputGate } from '../answers/output.gate.js';
import type { Attempt } from './attempt.js';
import { CallEnds } from './call.ends.js';
import { UpstreamHealth } from './upstream.health.js';

/** Hands the upstream's answer to the visitor, and books what it cost. */
@Injectable()
export class AnswerDelivery {
  constructor(
    private readonly relay: AnswerRelay,
    private readonly gate: OutputGate,
    private readonly ends: CallEnds,
    private readonly health: UpstreamHealth,
    private readonly stopped: StoppedCalls,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * `judged`: the ticket with the verdict on the input. `of`: what its reader must know. Returns the attempt's outcome in one word.
   * @throws the error that broke the answer off
   */
  async deliver(attempt: Attempt, judged: Ticket, response: Response, of: AnswerOf): Promise<string> {
    const { ticket, queueMs, progress, controller } = attempt;
    let isAnswered = false;
    const onAnswer = (): void => {
      if (!isAnswered) this.health.answered(attempt);
      isAnswered = true;
    };
    const call = { ticket: judged, queueMs, of, progress, controller, onAnswer };
    const answered = await (ticket.stream ? this.relay.stream(call, response) : this.relay.whole(call, response));
    if (answered.again) await this.keepStopped(judged, answered.again);
    await this.ends.post(attempt, answered.settlement, answered.reply, answered.outcome, answered);
    if (answered.observed.length > 0) await this.gate.observe(ticket, answered.observed);
    return answered.outcome;
  }

  /** Before the visitor sees the end: whoever repeats the call then finds it. */
  private async keepStopped(ticket: Ticket, again: Reply): Promise<void> {
    await this.stopped.keep(ticket, again).catch((error: unknown) => {
      const { requestId } = ticket;
      this.logger.warn({ err: error, requestId }, 'a blocked answer could not be kept; a repeat of its call is billed');
    });
  }
}
