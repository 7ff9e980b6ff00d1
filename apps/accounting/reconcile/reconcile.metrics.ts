import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { signedUsd } from '../domain/usd.js';

/** What the comparison with the provider's reports found. */
@Injectable()
export class ReconcileMetrics {
  private readonly reconciliations: Counter<'outcome'>;
  private readonly assessments: Counter<'outcome'>;
  private readonly presumed: Gauge;
  private readonly drifts: Gauge<'period'>;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
    this.reconciliations = new Counter({
      name: 'daypass_reconciliations_total',
      help: "Times that accounting compared the books with the provider's reports",
      labelNames: ['outcome'],
      registers,
    });
    this.assessments = new Counter({
      name: 'daypass_judged_calls_total',
      help: 'Calls with an unknown end that a usage report decided: refunded, wholly or in part, or confirmed at their bound',
      labelNames: ['outcome'],
      registers,
    });
    this.presumed = new Gauge({
      name: 'daypass_presumed_calls_waiting',
      help: 'Presumed calls (with an unknown end) of the last week that no report has decided yet',
      registers,
    });
    this.drifts = new Gauge({
      name: 'daypass_upstream_drift_usd',
      help: 'Dollars booked less dollars billed, over the last billed day and over 30 days; below 0 the books lack something',
      labelNames: ['period'],
      registers,
    });
  }

  reconciled(ok: boolean): void {
    this.reconciliations.inc({ outcome: ok ? 'ok' : 'failed' });
  }

  assessed(outcome: 'refunded' | 'confirmed'): void {
    this.assessments.inc({ outcome });
  }

  presumedWaiting(count: number): void {
    this.presumed.set(count);
  }

  /** Nano-dollars. The gauge shows nothing before the provider billed a first day. */
  drift(lastDayNano: bigint, lastMonthNano: bigint): void {
    this.drifts.set({ period: 'day' }, signedUsd(lastDayNano));
    this.drifts.set({ period: 'month' }, signedUsd(lastMonthNano));
  }
}
