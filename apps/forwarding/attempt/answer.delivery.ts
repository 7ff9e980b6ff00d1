import { Injectable } from '@nestjs/common';
import type { Ticket } from '#libs/contracts/jobs.js';
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
  ) {}

  /**
   * `judged`: the ticket with the verdict on the input. Returns the attempt's outcome in one word.
   * @throws the error that broke the answer off
   */
  async deliver(attempt: Attempt, judged: Ticket, response: Response): Promise<string> {
    const { ticket, queueMs, progress, controller } = attempt;
    let isAnswered = false;
    const onAnswer = (): void => {
      if (!isAnswered) this.health.answered(attempt);
      isAnswered = true;
    };
    const answered = await (ticket.stream
      ? this.relay.stream({ ticket: judged, queueMs, progress, controller, onAnswer }, response)
      : this.relay.whole({ ticket: judged, queueMs, onAnswer }, response));
    await this.ends.post(attempt, answered.settlement, answered.reply, answered.outcome, answered);
    if (answered.observed.length > 0) await this.gate.observe(ticket, answered.observed);
    return answered.outcome;
  }
}
