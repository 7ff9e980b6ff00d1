import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { ABSORBED, UPSTREAM_PREFIX, type Transfer } from '../domain/transfer.js';
import { usd } from '../domain/usd.js';

/** What accounting booked, and what it could not book. */
@Injectable()
export class BooksMetrics {
  private readonly events: Counter<'kind'>;
  private readonly rejected: Counter;
  private readonly batchSeconds: Histogram;
  private readonly lag: Gauge;
  private readonly spend: Counter;
  private readonly refunded: Counter;
  private readonly absorbed: Counter;
  private readonly swept: Counter<'transition'>;
  private readonly strikes: Counter<'step'>;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
    this.events = new Counter({
      name: 'daypass_journal_events_total',
      help: 'Journal events that accounting booked',
      labelNames: ['kind'],
      registers,
    });
    this.rejected = new Counter({
      name: 'daypass_journal_rejected_total',
      help: 'Journal entries that accounting could not book; see ledger.rejected_events',
      registers,
    });
    this.batchSeconds = new Histogram({
      name: 'daypass_journal_batch_seconds',
      help: 'From the read of a batch to its acknowledgement',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
      registers,
    });
    this.lag = new Gauge({
      name: 'daypass_journal_lag_entries',
      help: 'Journal entries that wait in Redis for the ledger',
      registers,
    });
    this.spend = new Counter({
      name: 'daypass_spend_usd_total',
      help: 'Dollars booked to upstreams, before refunds',
      registers,
    });
    this.refunded = new Counter({
      name: 'daypass_refunded_usd_total',
      help: 'Dollars that Daypass gave back when it learned how calls with an unknown end had ended',
      registers,
    });
    this.absorbed = new Counter({
      name: 'daypass_absorbed_usd_total',
      help: 'Dollars that the operator absorbed, because calls cost more than their bound; should stay 0',
      registers,
    });
    this.swept = new Counter({
      name: 'daypass_swept_holds_total',
      help: 'Holds that accounting ended because nobody renewed their lease',
      labelNames: ['transition'],
      registers,
    });
    this.strikes = new Counter({
      name: 'daypass_strikes_total',
      help: 'Refused inputs, by what followed: a warning, a rest of the key, its suspension',
      labelNames: ['step'],
      registers,
    });
  }

  booked(transfers: Iterable<Transfer>): void {
    const kinds = new Map<string, number>();
    for (const { kind, entries } of transfers) {
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      for (const { account, amountNano } of entries) {
        if (account.startsWith(UPSTREAM_PREFIX)) (amountNano > 0n ? this.spend : this.refunded).inc(usd(amountNano));
        else if (account === ABSORBED) this.absorbed.inc(usd(amountNano));
      }
    }
    for (const [kind, count] of kinds) this.events.inc({ kind }, count);
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

  struck(steps: Iterable<string>): void {
    for (const step of steps) this.strikes.inc({ step });
  }
}
