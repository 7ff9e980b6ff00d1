import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { NANO_PER_USD } from '#libs/money/nano.js';
import { REGISTRY } from '#libs/platform/platform.tokens.js';
import { ABSORBED, UPSTREAM, type Transfer } from './domain/transfer.js';

@Injectable()
export class AccountingMetrics {
  private readonly events: Counter<'kind'>;
  private readonly rejected: Counter;
  private readonly batchSeconds: Histogram;
  private readonly lag: Gauge;
  private readonly spend: Counter;
  private readonly absorbed: Counter;
  private readonly refunded: Counter;
  private readonly swept: Counter<'transition'>;
  private readonly pending: Gauge;
  private readonly rebuilds: Counter;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
    this.events = new Counter({ name: 'daypass_journal_events_total', help: 'Journal events booked, by kind', labelNames: ['kind'], registers });
    this.rejected = new Counter({
      name: 'daypass_journal_rejected_total',
      help: 'Journal entries that could not be booked; see ledger.rejected_events',
      registers,
    });
    this.batchSeconds = new Histogram({
      name: 'daypass_journal_batch_seconds',
      help: 'From a batch read to a batch acknowledged',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
      registers,
    });
    this.lag = new Gauge({ name: 'daypass_journal_lag_entries', help: 'Journal entries that are not booked yet', registers });
    this.spend = new Counter({ name: 'daypass_spend_usd_total', help: 'Dollars booked to upstreams, before refunds', registers });
    this.refunded = new Counter({ name: 'daypass_refunded_usd_total', help: 'Dollars that corrections of presumed calls took back from upstreams', registers });
    this.absorbed = new Counter({ name: 'daypass_absorbed_usd_total', help: 'Dollars that the operator paid beyond what was held; should stay 0', registers });
    this.swept = new Counter({
      name: 'daypass_swept_holds_total',
      help: 'Holds ended because their holder fell silent',
      labelNames: ['transition'],
      registers,
    });
    this.pending = new Gauge({ name: 'daypass_projections_pending', help: 'Keys and campaigns whose last change Redis does not have yet', registers });
    this.rebuilds = new Counter({ name: 'daypass_rebuilds_total', help: 'Times that Redis was rebuilt from the ledger', registers });
  }

  booked(transfers: Iterable<Transfer>): void {
    for (const { kind, entries } of transfers) {
      this.events.inc({ kind });
      for (const { account, amountNano } of entries) {
        if (account === UPSTREAM) (amountNano > 0n ? this.spend : this.refunded).inc(usd(amountNano));
        else if (account === ABSORBED) this.absorbed.inc(usd(amountNano));
      }
    }
  }

  batchDone(seconds: number): void {
    this.batchSeconds.observe(seconds);
  }

  entriesRejected(count: number): void {
    this.rejected.inc(count);
  }

  journalLag(entries: number): void {
    this.lag.set(entries);
  }

  holdSwept(transition: string): void {
    this.swept.inc({ transition });
  }

  projectionsPending(count: number): void {
    this.pending.set(count);
  }

  rebuilt(): void {
    this.rebuilds.inc();
  }
}

const usd = (nano: bigint): number => Math.abs(Number(nano)) / Number(NANO_PER_USD);
