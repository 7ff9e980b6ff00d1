import { Inject, Injectable } from '@nestjs/common';
import type { Ticket } from '#libs/contracts/jobs.js';
import { chatInputContents } from '#libs/moderation/chat-contents.js';
import { check } from '#libs/moderation/check.js';
import { decide, type Decision } from '#libs/moderation/decision.js';
import { ModerationMetrics } from '#libs/moderation/moderation.metrics.js';
import { Moderator } from '#libs/moderation/moderator.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';

/** The verdict on the input of a call that runs already: nothing of it may be shown. */
export class InputRefused extends Error {
  constructor(readonly refusal: Extract<Decision, { pass: false }>) {
    super(refusal.error.message);
    this.name = 'InputRefused';
  }
}

/** Judges what a visitor wrote while the upstream reads it (`parallel`). */
@Injectable()
export class InputGate {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly moderator: Moderator,
    private readonly metrics: ModerationMetrics,
  ) {}

  /** Returns the call as it goes on. @throws InputRefused */
  async admit(ticket: Ticket, body: Record<string, unknown>): Promise<Ticket> {
    const { requestId, keyId } = ticket;
    const finding = await check(this.moderator, chatInputContents(body), ticket.policy);
    this.metrics.flagged('input', finding);
    if (finding.outcome === 'unavailable') this.logger.warn({ requestId, reason: finding.reason }, 'no verdict on the input');
    const decision = decide(finding, ticket.policy);
    const word = decision.pass ? decision.word : decision.strike ? 'blocked' : 'unavailable';
    this.metrics.verdict('input', word);
    if (word !== 'pass') this.logger.info({ requestId, keyId, direction: 'input', decision: word }, 'moderation');
    if (!decision.pass) throw new InputRefused(decision);
    return { ...ticket, inputVerdict: decision.word };
  }
}
