import { Injectable } from '@nestjs/common';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Body } from '#libs/endpoints/endpoint.js';
import type { Decision } from '#libs/moderation/decision.js';
import { InputJudge } from '#libs/moderation/input.judge.js';

/** Moderation refused the input after a worker took the call: the visitor may see nothing of the answer. */
export class InputRefused extends Error {
  constructor(readonly refusal: Extract<Decision, { pass: false }>) {
    super(refusal.error.message);
    this.name = 'InputRefused';
  }
}

/** A call as forwarding sends it: with its verdict, and with its body redacted. */
export interface Ready {
  ticket: Ticket;
  body: Body;
}

/** Judges the input of calls while they run (`parallel`). Moderation judged all others before. */
@Injectable()
export class ParallelInput {
  constructor(private readonly inputs: InputJudge) {}

  /** Guards that cost no time judge before forwarding sends the call. @throws InputRefused */
  async beforeSending(ticket: Ticket, body: Body): Promise<Ready> {
    if (ticket.policy.input !== 'parallel') return { ticket, body };
    const judged = await this.inputs.judge(ticket, body, { stage: 'local' });
    if (judged.body === null) throw new InputRefused(judged.decision);
    return { ticket: { ...ticket, inputVerdict: judged.decision.verdict }, body: judged.body };
  }

  /** The other guards judge while the upstream works. Returns the ticket with the verdict. @throws InputRefused */
  async whileRunning({ ticket, body }: Ready): Promise<Ticket> {
    if (ticket.policy.input !== 'parallel') return ticket;
    const { decision } = await this.inputs.judge(ticket, body, { stage: 'remote', forwarded: true });
    if (!decision.pass) throw new InputRefused(decision);
    return decision.verdict === 'pass' ? ticket : { ...ticket, inputVerdict: decision.verdict };
  }
}
