import { Inject, Injectable } from '@nestjs/common';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Content } from '#libs/moderation/chat-contents.js';
import { check } from '#libs/moderation/check.js';
import { ModerationMetrics } from '#libs/moderation/moderation.metrics.js';
import { Moderator } from '#libs/moderation/moderator.js';
import type { ModerationResult } from '#libs/moderation/verdict.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';

export type OutputVerdict = { word: 'pass' | 'unchecked' } | { word: 'blocked' } | { word: 'unavailable'; error: DaypassError };

/** Judges what a model wrote, before it is shown (`gate`) or for the record (`observe`). */
@Injectable()
export class OutputGate {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly moderator: Moderator,
    private readonly metrics: ModerationMetrics,
  ) {}

  async verdict(ticket: Ticket, contents: readonly Content[]): Promise<OutputVerdict> {
    const verdict = await this.judge(ticket, contents);
    this.record(ticket, verdict.word);
    return verdict;
  }

  /** For a part of an answer; what became of the whole is recorded once. `results` takes what the endpoint said. */
  async judge(ticket: Ticket, contents: readonly Content[], results?: ModerationResult[]): Promise<OutputVerdict> {
    const finding = await check(this.moderator, contents, ticket.policy, results !== undefined);
    if (finding.outcome === 'judged') results?.push(...finding.results);
    this.metrics.flagged('output', finding);
    if (finding.outcome === 'unavailable') this.logger.warn({ requestId: ticket.requestId, reason: finding.reason }, 'no verdict on the output');
    const word =
      finding.outcome === 'judged' ? (finding.judgement.flagged ? 'blocked' : 'pass') : ticket.policy.onUnavailable === 'open' ? 'unchecked' : 'unavailable';
    if (word !== 'unavailable') return { word };
    // The answer exists and is paid for: a client that repeats the call by itself would pay again and again.
    const error = new DaypassError(
      'moderation_unavailable',
      'The answer could not be checked right now, and an unchecked answer is not shown. It was charged.',
      {
        retry: false,
        details: { direction: 'output' },
      },
    );
    return { word, error };
  }

  /** An answer whose every part was judged comes back with the visitor's next turn. */
  remember(contents: readonly Content[], results: readonly ModerationResult[]): void {
    this.moderator.remember(contents, results);
  }

  /** Judges an answer that was shown already. Never fails the call. */
  async observe(ticket: Ticket, contents: readonly Content[]): Promise<void> {
    try {
      const finding = await check(this.moderator, contents, ticket.policy);
      this.metrics.flagged('output', finding);
      this.record(ticket, finding.outcome === 'unavailable' ? 'unchecked' : finding.judgement.flagged ? 'flagged' : 'pass');
    } catch (error) {
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'an observed answer could not be judged');
    }
  }

  record({ requestId, keyId }: Ticket, decision: VerdictWord | 'unavailable'): void {
    this.metrics.verdict('output', decision);
    if (decision !== 'pass') this.logger.info({ requestId, keyId, direction: 'output', decision }, 'moderation');
  }
}
