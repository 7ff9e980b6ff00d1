import { Counter, Histogram, type Registry } from 'prom-client';

/** Verdicts and the endpoint's latency: what the detour costs. */
export class ModerationMetrics {
  private readonly verdicts: Counter<'direction' | 'decision'>;
  private readonly seconds: Histogram<'outcome'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.verdicts = new Counter({
      name: 'daypass_moderation_verdicts_total',
      help: 'Inputs and outputs of calls, by what moderation decided',
      labelNames: ['direction', 'decision'],
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

  verdict(direction: 'input' | 'output', decision: string): void {
    this.verdicts.inc({ direction, decision });
  }

  call(seconds: number, outcome: 'ok' | 'error'): void {
    this.seconds.observe({ outcome }, seconds);
  }
}
