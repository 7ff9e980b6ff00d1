import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { NANO_PER_USD } from '#libs/money/nano.js';
import { REGISTRY } from '#libs/platform/platform.tokens.js';
import type { CheckRow } from './domain/audit.chain.js';
import { ABSORBED, UPSTREAM_PREFIX, type Transfer } from './domain/transfer.js';

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
  private readonly reconciliations: Counter<'outcome'>;
  private readonly judgements: Counter<'outcome'>;
  private readonly presumed: Gauge;
  private readonly strikes: Counter<'step'>;
  private readonly recordRows: Counter;
  private readonly recordWaiting: Gauge;
  private readonly recordBroken: Gauge;
  private readonly recordedChecks: Counter<'campaign' | 'direction' | 'guard' | 'decision'>;
  private readonly drifts: Gauge<'period'>;

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
    this.reconciliations = new Counter({
      name: 'daypass_reconciliations_total',
      help: "Times that the books were compared with the provider's reports",
      labelNames: ['outcome'],
      registers,
    });
    this.judgements = new Counter({
      name: 'daypass_judged_calls_total',
      help: 'Presumed calls that a usage report decided on: refunded, wholly or in part, or confirmed at their bound',
      labelNames: ['outcome'],
      registers,
    });
    this.strikes = new Counter({
      name: 'daypass_strikes_total',
      help: 'Refused inputs, by what followed: a warning, a rest of the key, its suspension',
      labelNames: ['step'],
      registers,
    });
    this.recordRows = new Counter({ name: 'daypass_audit_rows_total', help: 'Requests and checks that were added to the record', registers });
    this.recordWaiting = new Gauge({ name: 'daypass_audit_lag_entries', help: 'Requests and checks that are not in the record yet', registers });
    this.recordBroken = new Gauge({
      name: 'daypass_audit_broken',
      help: '1: the record does not reach as far as it did, so that no checkpoint is signed; see GET /admin/v1/audit/verify',
      registers,
    });
    this.recordedChecks = new Counter({
      name: 'daypass_audit_checks_total',
      help: 'Checks in the record; the share of flagged content of a campaign is that of blocked and flagged among them',
      labelNames: ['campaign', 'direction', 'guard', 'decision'],
      registers,
    });
    this.presumed = new Gauge({ name: 'daypass_presumed_calls_waiting', help: 'Presumed calls of the last week that no report has decided on', registers });
    this.drifts = new Gauge({
      name: 'daypass_upstream_drift_usd',
      help: 'Dollars booked for upstream calls less dollars that the provider billed, over the last billed day and over the last 30; below 0 something went unbooked',
      labelNames: ['period'],
      registers,
    });
  }

  booked(transfers: Iterable<Transfer>): void {
    for (const { kind, entries } of transfers) {
      this.events.inc({ kind });
      for (const { account, amountNano } of entries) {
        if (account.startsWith(UPSTREAM_PREFIX)) (amountNano > 0n ? this.spend : this.refunded).inc(usd(amountNano));
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

  reconciled(ok: boolean): void {
    this.reconciliations.inc({ outcome: ok ? 'ok' : 'failed' });
  }

  judged(outcome: 'refunded' | 'confirmed'): void {
    this.judgements.inc({ outcome });
  }

  struck(steps: Iterable<string>): void {
    for (const step of steps) this.strikes.inc({ step });
  }

  presumedWaiting(count: number): void {
    this.presumed.set(count);
  }

  /** Nano-dollars; nothing is shown before a first day was billed. */
  drift(lastDayNano: bigint, lastMonthNano: bigint): void {
    this.drifts.set({ period: 'day' }, signedUsd(lastDayNano));
    this.drifts.set({ period: 'month' }, signedUsd(lastMonthNano));
  }

  /** `slugs` of the campaigns, by id. */
  recorded(rows: number, checks: readonly CheckRow[], slugs: ReadonlyMap<string, string>): void {
    this.recordRows.inc(rows);
    for (const { campaignId, direction, guard, decision } of checks)
      this.recordedChecks.inc({ campaign: slugs.get(campaignId) ?? campaignId, direction, guard, decision });
  }

  recordLag(entries: number): void {
    this.recordWaiting.set(entries);
  }

  recordCut(isCut: boolean): void {
    this.recordBroken.set(isCut ? 1 : 0);
  }

  rebuilt(): void {
    this.rebuilds.inc();
  }
}

const signedUsd = (nano: bigint): number => Number(nano) / Number(NANO_PER_USD);
const usd = (nano: bigint): number => Math.abs(signedUsd(nano));
