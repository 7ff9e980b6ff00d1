import { Counter, Histogram, type Registry } from 'prom-client';
import type { Direction } from '#libs/contracts/audit.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { endpointLabel } from '#libs/endpoints/registry.js';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10];

/** Counts verdicts, and measures what moderation costs in time. */
export class ModerationMetrics {
  private readonly verdicts: Counter<'direction' | 'decision' | 'endpoint'>;
  private readonly seconds: Histogram<'outcome'>;
  private readonly judged: Counter<'verdict'>;
  private readonly flags: Counter<'direction' | 'category'>;
  private readonly looks: Histogram<'direction' | 'guard' | 'outcome'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.verdicts = new Counter({
      name: 'daypass_moderation_verdicts_total',
      help: 'Inputs and outputs of calls, by the decision of moderation',
      labelNames: ['direction', 'decision', 'endpoint'],
      registers,
    });
    this.flags = new Counter({
      name: 'daypass_moderation_flags_total',
      help: 'Inputs and outputs that a policy flagged, by each category that it flagged',
      labelNames: ['direction', 'category'],
      registers,
    });
    this.judged = new Counter({
      name: 'daypass_moderation_texts_total',
      help: 'Texts that needed a verdict, by whether the verdict was known or the endpoint gave it',
      labelNames: ['verdict'],
      registers,
    });
    this.looks = new Histogram({
      name: 'daypass_guard_seconds',
      help: 'How long a guard took to check an input, an output or a piece, by whether it reached a verdict',
      labelNames: ['direction', 'guard', 'outcome'],
      buckets: SECONDS,
      registers,
    });
    this.seconds = new Histogram({
      name: 'daypass_moderation_call_seconds',
      help: 'Length of one call to the moderation endpoint, with the wait for its lane',
      labelNames: ['outcome'],
      buckets: SECONDS,
      registers,
    });
  }

  /** `cached`: so many of the texts had a verdict already. */
  texts(cached: number, texts: number): void {
    this.judged.inc({ verdict: 'known' }, cached);
    this.judged.inc({ verdict: 'asked' }, texts - cached);
  }

  verdict(ticket: Ticket, direction: Direction, decision: string): void {
    this.verdicts.inc({ direction, decision, endpoint: endpointLabel(ticket) });
  }

  flagged(direction: Direction, categories: readonly string[]): void {
    for (const category of categories) this.flags.inc({ direction, category });
  }

  guardChecked(direction: Direction, guard: string, outcome: 'judged' | 'unavailable', seconds: number): void {
    this.looks.observe({ direction, guard, outcome }, seconds);
  }

  call(seconds: number, outcome: 'ok' | 'error'): void {
    this.seconds.observe({ outcome }, seconds);
  }
}
