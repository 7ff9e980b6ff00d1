import { randomBytes } from 'node:crypto';
import type { CheckDecision, CheckEvent, Direction } from '#libs/contracts/audit.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Logger } from 'pino';
import type { EventRecorder, Recorded } from '#libs/redis/event.recorder.js';
import { insist } from '#libs/redis/insist.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import { MODERATION_GUARD } from './guards/moderation.guard.js';
import { isFlagged, redactionsOf, type Finding, type GuardPipeline, type Stage } from './guards/pipeline.js';
import type { ModerationMetrics } from './moderation.metrics.js';
import type { ModerationResult } from './verdict.js';

export interface How {
  /** What becomes of what is found: it is taken out (`redact`), what holds it is refused (`refuse`), or it is only told of (`tell`). */
  found?: 'redact' | 'refuse' | 'tell';
  /** Which of the guards look. */
  stage?: Stage;
  /** These very contents never come again. */
  passing?: boolean;
  /** What the provider said beside an output. */
  provider?: readonly Record<string, unknown>[];
  /** The caller takes the events to the record himself, in one step with what follows from the verdict. */
  carried?: boolean;
}

/** What all guards together made of some content. */
export type Outcome =
  | { kind: 'pass'; redactions: Replacement[] }
  /** `strike`: a guard said so, rather than that something could not be taken out. */
  | { kind: 'flagged'; categories: string[]; strike: boolean }
  /** `refused`: it will never be judged. */
  | { kind: 'unavailable'; refused: boolean };

export interface Look {
  outcome: Outcome;
  /** What the moderation endpoint said. */
  results: readonly ModerationResult[];
  /** Where they are the caller's to carry. */
  events: readonly Recorded[];
}

export interface CheckerParts {
  guards: GuardPipeline;
  recorder: EventRecorder;
  box: ContentBox;
  metrics: ModerationMetrics;
  logger: Logger;
}

/** The one way to a verdict: the guards look, each finding is counted, logged and in the record before anything follows from it, or with it. */
export class Checker {
  constructor(private readonly parts: CheckerParts) {}

  /** @throws when the record cannot be written, so that nothing is let go without */
  async look(ticket: Ticket, direction: Direction, contents: readonly Content[], how: How = {}): Promise<Look> {
    const { found = 'redact', stage = 'all', passing = false, provider = [], carried = false } = how;
    const { requestId, keyId, campaignId, model, policy } = ticket;
    const findings = await this.parts.guards.check(
      contents,
      { requestId, keyId, campaignId, model, direction, policy, passing, provider },
      stage,
    );
    this.count(ticket, direction, findings);
    const events = this.eventsOf(ticket, direction, contents, findings, found);
    if (!carried)
      await Promise.all(events.map(({ event, sealed }) => insist(() => this.parts.recorder.record(event, sealed))));
    return { outcome: outcomeOf(findings, found), results: resultsOf(findings), events: carried ? events : [] };
  }

  private count({ requestId }: Ticket, direction: Direction, findings: readonly Finding[]): void {
    const { metrics, logger } = this.parts;
    for (const finding of findings) {
      metrics.looked(direction, finding.guard, finding.outcome, finding.latencyMs / 1_000);
      if (finding.outcome === 'unavailable')
        logger.warn({ requestId, direction, guard: finding.guard, reason: finding.reason }, 'no verdict');
      else if (finding.verdict.flagged) metrics.flagged(direction, finding.verdict.categories);
    }
  }

  /** What was asked is in the record already; what was answered goes in with its first finding. */
  private eventsOf(
    ticket: Ticket,
    direction: Direction,
    contents: readonly Content[],
    findings: readonly Finding[],
    found: How['found'],
  ): Recorded[] {
    return findings.map((finding, index) => {
      const isShown = direction === 'output' && index === 0 && contents.length > 0;
      const sealed = isShown ? this.parts.box.seal(JSON.stringify(contents), ticket.requestId) : null;
      return { event: eventOf(ticket, direction, finding, found), sealed };
    });
  }
}

function outcomeOf(findings: readonly Finding[], found: How['found']): Outcome {
  const flagged = findings.filter(isFlagged);
  const redactions = redactionsOf(findings);
  if (flagged.length > 0 || (redactions.length > 0 && found === 'refuse')) {
    const said = flagged.length > 0 ? flagged : findings.filter((finding) => redactionsOf([finding]).length > 0);
    const categories = [
      ...new Set(said.flatMap((finding) => (finding.outcome === 'judged' ? finding.verdict.categories : []))),
    ].sort();
    return { kind: 'flagged', categories, strike: flagged.length > 0 };
  }
  const silent = findings.filter((finding) => finding.outcome === 'unavailable');
  if (silent.length > 0) return { kind: 'unavailable', refused: silent.some(({ refused }) => refused) };
  return { kind: 'pass', redactions };
}

function resultsOf(findings: readonly Finding[]): readonly ModerationResult[] {
  return findings.flatMap((finding) =>
    finding.guard === MODERATION_GUARD && finding.outcome === 'judged' ? (finding.verdict.results ?? []) : [],
  );
}

function decisionOf(finding: Finding, onUnavailable: 'closed' | 'open', found: How['found']): CheckDecision {
  if (finding.outcome === 'unavailable')
    return onUnavailable === 'open' || found === 'tell' ? 'unchecked' : 'unavailable';
  const { flagged, redactions } = finding.verdict;
  if (!flagged && redactions.length === 0) return 'pass';
  if (found === 'tell') return 'flagged';
  return flagged || found === 'refuse' ? 'blocked' : 'redacted';
}

function eventOf(
  { requestId, keyId, campaignId, policy }: Ticket,
  direction: Direction,
  finding: Finding,
  found: How['found'],
): CheckEvent {
  const judged = finding.outcome === 'judged' ? finding.verdict : null;
  return {
    kind: 'check',
    id: `chk_${randomBytes(12).toString('hex')}`,
    request: requestId,
    key: keyId,
    campaign: campaignId,
    direction,
    guard: finding.guard,
    model: finding.model,
    decision: decisionOf(finding, policy.onUnavailable, found),
    categories: judged?.categories ?? [],
    scores: judged?.scores ?? {},
    reason: finding.outcome === 'unavailable' ? finding.reason : null,
    latency_ms: finding.latencyMs,
    policy,
  };
}
