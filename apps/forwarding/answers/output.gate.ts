import { Inject, Injectable } from '@nestjs/common';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import { Checker, type CheckOptions, type Checked } from '#libs/moderation/checker.js';
import { isLetThrough } from '#libs/moderation/decision.js';
import { ModerationMetrics } from '#libs/moderation/moderation.metrics.js';
import { Moderator } from '#libs/moderation/moderator.js';
import type { ModerationResult } from '#libs/moderation/verdict.js';
import type { Logger } from '#libs/service/logger.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { LOGGER } from '#libs/service/platform.tokens.js';

export type OutputVerdict =
  | { word: 'pass' | 'redacted' | 'unchecked'; redactions?: readonly Replacement[] }
  | { word: 'blocked'; categories?: readonly string[] }
  | { word: 'unavailable'; error: DaypassError };

/**
 * Judges what a model wrote: before the visitor sees it (`gate`, `window`), meanwhile (`trail`) or afterwards
 * (`observe`).
 */
@Injectable()
export class OutputGate {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly checker: Checker,
    private readonly moderator: Moderator,
    private readonly metrics: ModerationMetrics,
  ) {}

  /**
   * Judges a whole answer. The caller takes the events to the record, in one step with what follows from the verdict.
   */
  async verdictOnWhole(
    ticket: Ticket,
    contents: readonly Content[],
    provider: CheckOptions['provider'],
  ): Promise<{ verdict: OutputVerdict; events: readonly Recorded[] }> {
    const checked = await this.checker.check(ticket, 'output', contents, {
      ...(provider ? { provider } : {}),
      carried: true,
    });
    const verdict = verdictOf(checked, ticket);
    this.countVerdict(ticket, verdict.word);
    return { verdict, events: checked.events };
  }

  /**
   * Judges the parts of a whole answer, each by itself. `without`: those that cannot be shown. Where none is left, the verdict
   * is on all of it.
   */
  async verdictOnParts(
    ticket: Ticket,
    parts: readonly (readonly Content[])[],
    provider: NonNullable<CheckOptions['provider']>,
  ): Promise<{ verdict: OutputVerdict; events: readonly Recorded[]; without: ReadonlySet<number> }> {
    const checks = await Promise.all(
      parts.map((contents) => this.checker.check(ticket, 'output', contents, { provider, carried: true })),
    );
    const verdicts = checks.map((checked) => verdictOf(checked, ticket));
    const without = new Set(verdicts.flatMap(({ word }, index) => (isShown(word) ? [] : [index])));
    const verdict = joined(verdicts, without.size);
    this.countVerdict(ticket, verdict.word);
    return { verdict, events: checks.flatMap(({ events }) => events), without };
  }

  /**
   * Judges a part of an answer; the caller counts one verdict on the whole. Adds the endpoint's results to `results`.
   */
  async verdictOnPart(
    ticket: Ticket,
    contents: readonly Content[],
    how: CheckOptions,
    results?: ModerationResult[],
  ): Promise<OutputVerdict> {
    const checked = await this.checker.check(ticket, 'output', contents, { ...how, passing: results !== undefined });
    results?.push(...checked.results);
    return verdictOf(checked, ticket);
  }

  /** Takes the events of verdicts to the record, where what follows from them does not. @throws when Redis does not take them */
  record(events: readonly Recorded[]): Promise<void> {
    return this.checker.record(events);
  }

  /** Keeps the verdict on an answer that was judged in parts: the visitor sends it again with the next message. */
  remember(ticket: Ticket, contents: readonly Content[], results: readonly ModerationResult[]): void {
    this.moderator.remember(contents, results, ticket);
  }

  /** Judges an answer that the visitor saw already. Never fails the call. */
  async observe(ticket: Ticket, contents: readonly Content[]): Promise<void> {
    try {
      const { outcome } = await this.checker.check(ticket, 'output', contents, { found: 'record' });
      this.countVerdict(
        ticket,
        outcome.kind === 'unavailable' ? 'unchecked' : outcome.kind === 'flagged' ? 'flagged' : 'pass',
      );
    } catch (error) {
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'an observed answer could not be judged');
    }
  }

  countVerdict(ticket: Ticket, decision: VerdictWord | 'unavailable'): void {
    const { requestId, keyId } = ticket;
    this.metrics.verdict(ticket, 'output', decision);
    if (decision !== 'pass') this.logger.info({ requestId, keyId, direction: 'output', decision }, 'moderation');
  }
}

function verdictOf({ outcome }: Checked, { policy }: Ticket): OutputVerdict {
  switch (outcome.kind) {
    case 'pass':
      return { word: outcome.redactions.length > 0 ? 'redacted' : 'pass', redactions: outcome.redactions };
    case 'flagged':
      return { word: 'blocked', categories: outcome.categories };
    case 'unavailable':
      return isLetThrough(outcome, policy) ? { word: 'unchecked' } : { word: 'unavailable', error: unavailable() };
  }
}

const isShown = (word: OutputVerdict['word']): boolean => word !== 'blocked' && word !== 'unavailable';

function joined(verdicts: readonly OutputVerdict[], without: number): OutputVerdict {
  if (without === verdicts.length) {
    const blocked = verdicts.flatMap((verdict) => (verdict.word === 'blocked' ? [verdict] : []));
    if (blocked.length === 0) return { word: 'unavailable', error: unavailable() };
    return { word: 'blocked', categories: [...new Set(blocked.flatMap(({ categories = [] }) => categories))].sort() };
  }
  const redactions = verdicts.flatMap((verdict) => ('redactions' in verdict ? (verdict.redactions ?? []) : []));
  if (without > 0 || redactions.length > 0) return { word: 'redacted', redactions };
  return { word: verdicts.some(({ word }) => word === 'unchecked') ? 'unchecked' : 'pass' };
}

/** No retry: the visitor paid for the answer, and a client that repeats the call would pay again each time. */
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
