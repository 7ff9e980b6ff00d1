import { Counter, Histogram, type Registry } from 'prom-client';
import type { Check } from './check.js';

/** Verdicts and the endpoint's latency: what the detour costs. */
export class ModerationMetrics {
  private readonly verdicts: Counter<'direction' | 'decision'>;
  private readonly seconds: Histogram<'outcome'>;
  private readonly judged: Counter<'verdict'>;
  private readonly flags: Counter<'direction' | 'category'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.verdicts = new Counter({
      name: 'daypass_moderation_verdicts_total',
      help: 'Inputs and outputs of calls, by what moderation decided',
      labelNames: ['direction', 'decision'],
      registers,
    });
    this.flags = new Counter({
      name: 'daypass_moderation_flags_total',
      help: 'Inputs and outputs that a policy flagged, by each category that made it so',
      labelNames: ['direction', 'category'],
      registers,
    });
    this.judged = new Counter({
      name: 'daypass_moderation_texts_total',
      help: 'Texts that needed a verdict: known from before, or asked of the endpoint',
      labelNames: ['verdict'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'daypass_moderation_call_seconds',
      help: 'Length of one call to the moderation endpoint, waiting for its lane included',
      labelNames: ['outcome'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10],
      registers,
    });
  }

  /** How many of the texts were judged before. */
  texts(known: number, texts: number): void {
    this.judged.inc({ verdict: 'known' }, known);
    this.judged.inc({ verdict: 'asked' }, texts - known);
  }

  verdict(direction: 'input' | 'output', decision: string): void {
    this.verdicts.inc({ direction, decision });
  }

  flagged(direction: 'input' | 'output', finding: Check): void {
    if (finding.outcome !== 'judged') return;
    for (const category of finding.judgement.categories) this.flags.inc({ direction, category });
  }

  call(seconds: number, outcome: 'ok' | 'error'): void {
    this.seconds.observe({ outcome }, seconds);
  }
}
