import { createHash, randomBytes } from 'node:crypto';
import type { CheckDecision, CheckEvent, Direction } from '#libs/contracts/audit.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Logger } from 'pino';
import type { EventRecorder, Recorded } from '#libs/redis/event.recorder.js';
import { insist } from '#libs/redis/insist.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { ProviderVerdict } from '#libs/endpoints/endpoint.js';
import { isLetThrough } from './decision.js';
import { MODERATION_GUARD } from './guards/moderation.guard.js';
import { isFlagged, redactionsOf, type Finding, type GuardPipeline, type Stage } from './guards/pipeline.js';
import type { ModerationMetrics } from './moderation.metrics.js';
import type { ModerationResult } from './verdict.js';

/** Longer addresses of images in answers do not go on record: one answer may have 48 MiB of them. */
const RECORDED_URL_MAX = 16_384;

export interface CheckOptions {
  /** After a finding Daypass takes it out (`redact`), refuses the whole (`refuse`), or only records it (`record`). */
  found?: 'redact' | 'refuse' | 'record';
  /** Which guards judge. */
  stage?: Stage;
  /** These contents never come again. */
  passing?: boolean;
  /** The provider's own verdicts, which came with an output. */
  provider?: readonly ProviderVerdict[];
  /** The caller takes the events to the record, in one step with what follows from the verdict. */
  carried?: boolean;
}

/** What follows from the verdicts of all guards. */
export type Outcome =
  | { kind: 'pass'; redactions: Replacement[] }
  /** `strike`: a guard flagged it. Otherwise Daypass refuses it because nobody can take a finding out. */
  | { kind: 'flagged'; categories: string[]; strike: boolean }
  /**
   * `refused`: the content or its key is the cause, so that no policy lets it through. `retryAfterMs`: only for now.
   */
  | { kind: 'unavailable'; refused: boolean; retryAfterMs?: number };

export interface Checked {
  outcome: Outcome;
  /** The moderation endpoint's results. */
  results: readonly ModerationResult[];
  /** For the record; empty unless the caller takes them there (`carried`). */
  events: readonly Recorded[];
}

export interface CheckerParts {
  guards: GuardPipeline;
  recorder: EventRecorder;
  box: ContentBox;
  metrics: ModerationMetrics;
  logger: Logger;
}

/**
 * Asks the guards, counts and logs each finding, and records it before anything follows from it, or in the same step.
 */
export class Checker {
  constructor(private readonly parts: CheckerParts) {}

  /** @throws when Redis does not take the record: without it nothing may go on */
  async check(
    ticket: Ticket,
    direction: Direction,
    contents: readonly Content[],
    how: CheckOptions = {},
  ): Promise<Checked> {
    const { found = 'redact', stage = 'all', passing = false, provider = [], carried = false } = how;
    const { requestId, keyId, campaignId, model, policy } = ticket;
    const findings = await this.parts.guards.check(
      contents,
      { requestId, keyId, campaignId, model, direction, policy, passing, provider },
      stage,
    );
    this.count(ticket, direction, findings);
    const events = this.eventsOf(ticket, direction, contents, findings, found);
    if (!carried) await this.record(events);
    return { outcome: outcomeOf(findings, found), results: resultsOf(findings), events: carried ? events : [] };
  }

  /** @throws when Redis does not take them */
  async record(events: readonly Recorded[]): Promise<void> {
    await Promise.all(events.map(({ event, encrypted }) => insist(() => this.parts.recorder.record(event, encrypted))));
  }

  private count({ requestId }: Ticket, direction: Direction, findings: readonly Finding[]): void {
    const { metrics, logger } = this.parts;
    for (const finding of findings) {
      metrics.guardChecked(direction, finding.guard, finding.outcome, finding.latencyMs / 1_000);
      if (finding.outcome === 'unavailable')
        logger.warn({ requestId, direction, guard: finding.guard, reason: finding.reason }, 'no verdict');
      else if (finding.verdict.flagged) metrics.flagged(direction, finding.verdict.categories);
    }
  }

  /** The record has an input already. An output goes in with its first finding. */
  private eventsOf(
    ticket: Ticket,
    direction: Direction,
    contents: readonly Content[],
    findings: readonly Finding[],
    found: CheckOptions['found'],
  ): Recorded[] {
    return findings.map((finding, index) => {
      const isShown = direction === 'output' && index === 0 && contents.length > 0;
      const encrypted = isShown ? this.parts.box.seal(JSON.stringify(contents.map(recorded)), ticket.requestId) : null;
      return { event: eventOf(ticket, direction, finding, found), encrypted };
    });
  }
}

/** An image of an answer goes on record by its kind, size and hash: whoever has the image can prove that it is that one. */
function recorded(content: Content): Content {
  if (content.kind !== 'image' || content.url.length <= RECORDED_URL_MAX) return content;
  const { url } = content;
  const head = url.slice(0, Math.max(0, url.indexOf(',')));
  return {
    kind: 'image',
    url: `${head}; characters=${url.length}; sha256=${createHash('sha256').update(url).digest('hex')}`,
  };
}

function outcomeOf(findings: readonly Finding[], found: CheckOptions['found']): Outcome {
  const flagged = findings.filter(isFlagged);
  const redactions = redactionsOf(findings);
  if (flagged.length > 0 || (redactions.length > 0 && found === 'refuse')) {
    const refusing = flagged.length > 0 ? flagged : findings.filter((finding) => redactionsOf([finding]).length > 0);
    const categories = [
      ...new Set(refusing.flatMap((finding) => (finding.outcome === 'judged' ? finding.verdict.categories : []))),
    ].sort();
    return { kind: 'flagged', categories, strike: flagged.length > 0 };
  }
  const missing = findings.filter((finding) => finding.outcome === 'unavailable');
  if (missing.length > 0) return missingOf(missing);
  return { kind: 'pass', redactions };
}

/** A refusal for ever goes before one for now, which goes before a guard that is away. */
function missingOf(missing: readonly Extract<Finding, { outcome: 'unavailable' }>[]): Outcome {
  const refusals = missing.filter(({ refused }) => refused);
  const waitsMs = refusals.flatMap(({ retryAfterMs }) => retryAfterMs ?? []);
  const isForNow = waitsMs.length > 0 && waitsMs.length === refusals.length;
  return {
    kind: 'unavailable',
    refused: refusals.length > 0,
    ...(isForNow ? { retryAfterMs: Math.max(...waitsMs) } : {}),
  };
}

function resultsOf(findings: readonly Finding[]): readonly ModerationResult[] {
  return findings.flatMap((finding) =>
    finding.guard === MODERATION_GUARD && finding.outcome === 'judged' ? (finding.verdict.results ?? []) : [],
  );
}

function decisionOf(finding: Finding, policy: CallPolicy, found: CheckOptions['found']): CheckDecision {
  if (finding.outcome === 'unavailable')
    return isLetThrough(finding, policy) || found === 'record' ? 'unchecked' : 'unavailable';
  const { flagged, redactions } = finding.verdict;
  if (!flagged && redactions.length === 0) return 'pass';
  if (found === 'record') return 'flagged';
  return flagged || found === 'refuse' ? 'blocked' : 'redacted';
}

function eventOf(
  { requestId, keyId, campaignId, policy }: Ticket,
  direction: Direction,
  finding: Finding,
  found: CheckOptions['found'],
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
    decision: decisionOf(finding, policy, found),
    categories: judged?.categories ?? [],
    scores: judged?.scores ?? {},
    reason: finding.outcome === 'unavailable' ? finding.reason : null,
    latency_ms: finding.latencyMs,
    policy,
  };
}
