import { Inject, Injectable } from '@nestjs/common';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import { Checker, type How, type Look } from '#libs/moderation/checker.js';
import { ModerationMetrics } from '#libs/moderation/moderation.metrics.js';
import { Moderator } from '#libs/moderation/moderator.js';
import type { ModerationResult } from '#libs/moderation/verdict.js';
import type { Logger } from '#libs/service/logger.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { LOGGER } from '#libs/service/platform.tokens.js';

export type OutputVerdict =
  | { word: 'pass' | 'redacted' | 'unchecked'; redactions?: readonly Replacement[] }
  | { word: 'blocked' }
  | { word: 'unavailable'; error: DaypassError };

/** Judges what a model wrote, before it is shown (`gate`, `window`), meanwhile (`trail`) or for the record (`observe`). */
@Injectable()
export class OutputGate {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly checker: Checker,
    private readonly moderator: Moderator,
    private readonly metrics: ModerationMetrics,
  ) {}

  /** On a whole answer; its events go into the record with what follows from it. */
  async verdict(
    ticket: Ticket,
    contents: readonly Content[],
    provider: How['provider'],
  ): Promise<{ verdict: OutputVerdict; events: readonly Recorded[] }> {
    const look = await this.checker.look(ticket, 'output', contents, {
      ...(provider ? { provider } : {}),
      carried: true,
    });
    const verdict = verdictOf(look, ticket);
    this.tell(ticket, verdict.word);
    return { verdict, events: look.events };
  }

  /** For a part of an answer; what became of the whole is told once. `results` takes what the endpoint said. */
  async judge(
    ticket: Ticket,
    contents: readonly Content[],
    how: How,
    results?: ModerationResult[],
  ): Promise<OutputVerdict> {
    const look = await this.checker.look(ticket, 'output', contents, { ...how, passing: results !== undefined });
    results?.push(...look.results);
    return verdictOf(look, ticket);
  }

  /** An answer whose every part was judged comes back with the visitor's next turn. */
  remember(contents: readonly Content[], results: readonly ModerationResult[]): void {
    this.moderator.remember(contents, results);
  }

  /** Judges an answer that was shown already. Never fails the call. */
  async observe(ticket: Ticket, contents: readonly Content[]): Promise<void> {
    try {
      const { outcome } = await this.checker.look(ticket, 'output', contents, { found: 'tell' });
      this.tell(ticket, outcome.kind === 'unavailable' ? 'unchecked' : outcome.kind === 'flagged' ? 'flagged' : 'pass');
    } catch (error) {
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'an observed answer could not be judged');
    }
  }

  tell({ requestId, keyId }: Ticket, decision: VerdictWord | 'unavailable'): void {
    this.metrics.verdict('output', decision);
    if (decision !== 'pass') this.logger.info({ requestId, keyId, direction: 'output', decision }, 'moderation');
  }
}

function verdictOf({ outcome }: Look, { policy }: Ticket): OutputVerdict {
  switch (outcome.kind) {
    case 'pass':
      return { word: outcome.redactions.length > 0 ? 'redacted' : 'pass', redactions: outcome.redactions };
    case 'flagged':
      return { word: 'blocked' };
    case 'unavailable':
      return policy.onUnavailable === 'open' ? { word: 'unchecked' } : { word: 'unavailable', error: unavailable() };
  }
}

/** The answer exists and is paid for: a client that repeats the call by itself would pay again and again. */
function unavailable(): DaypassError {
  return new DaypassError(
    'moderation_unavailable',
    'The answer could not be checked right now, and an unchecked answer is not shown. It was charged.',
    {
      retry: false,
      details: { direction: 'output' },
    },
  );
}
