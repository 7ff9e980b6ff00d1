import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/platform/platform.tokens.js';

@Injectable()
export class ForwardingMetrics {
  private readonly calls: Counter<'lane' | 'outcome'>;
  private readonly seconds: Histogram<'lane'>;
  private readonly waits: Counter<'lane'>;
  private readonly absorbed: Counter;
  private readonly trouble: Counter;
  readonly running: Gauge;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
    this.calls = new Counter({ name: 'daypass_upstream_calls_total', help: 'Upstream calls by lane and end', labelNames: ['lane', 'outcome'], registers });
    this.seconds = new Histogram({
      name: 'daypass_upstream_call_seconds',
      help: 'From the dispatch to the last byte of the upstream',
      labelNames: ['lane'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640],
      registers,
    });
    this.waits = new Counter({
      name: 'daypass_lane_waits_total',
      help: 'Times a call was put back because its lane was full',
      labelNames: ['lane'],
      registers,
    });
    this.absorbed = new Counter({ name: 'daypass_bound_exceeded_total', help: 'Calls that cost more than their bound; must stay 0', registers });
    this.trouble = new Counter({
      name: 'daypass_account_trouble_total',
      help: "Calls refused because of the upstream account's own key, money or rights",
      registers,
    });
    this.running = new Gauge({ name: 'daypass_upstream_calls_running', help: 'Upstream calls of this process that run now', registers });
  }

  ended(lane: string, outcome: string, seconds: number): void {
    this.calls.inc({ lane, outcome });
    this.seconds.observe({ lane }, seconds);
  }
  waited(lane: string): void {
    this.waits.inc({ lane });
  }
  boundExceeded(): void {
    this.absorbed.inc();
  }
  accountTrouble(): void {
    this.trouble.inc();
  }
}
