import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { NANO_PER_USD } from '#libs/money/nano.js';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import type { CheckRow } from './domain/audit.chain.js';
import { ABSORBED, UPSTREAM_PREFIX, type Transfer } from './domain/transfer.js';

const KEY_STATUSES = ['active', 'suspended', 'revoked', 'expired'];

/** What a campaign has, nano-dollars. */
export interface CampaignFigures {
  id: string;
  slug: string;
  budgetNano: bigint;
  spentNano: bigint;
  heldNano: bigint;
}

export interface KeyFigures {
  id: string;
  slug: string;
  spentNano: bigint;
}

export type KeyCount = Record<'status' | 'count', string>;

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
  private readonly sealed: Gauge;
  private isRecordCut = false;
  private isRecordProven = true;
  private readonly persistent: Gauge<'store'>;
  private readonly budgets: Gauge<'campaign'>;
  private readonly spent: Gauge<'campaign'>;
  private readonly held: Gauge<'campaign'>;
  private readonly campaignInfo: Gauge<'campaign' | 'campaign_id'>;
  private readonly keyCounts: Gauge<'status'>;
  private readonly keysSpent: Gauge<'key' | 'campaign'>;

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
    this.pending = new Gauge({
      name: 'daypass_projections_pending',
      help: 'Keys and campaigns whose last change Redis does not have yet',
      registers,
    });
    this.rebuilds = new Counter({
      name: 'daypass_rebuilds_total',
      help: 'Times that accounting rebuilt Redis from the ledger',
      registers,
    });
    this.reconciliations = new Counter({
      name: 'daypass_reconciliations_total',
      help: "Times that accounting compared the books with the provider's reports",
      labelNames: ['outcome'],
      registers,
    });
    this.judgements = new Counter({
      name: 'daypass_judged_calls_total',
      help: 'Calls with an unknown end that a usage report decided: refunded, wholly or in part, or confirmed at their bound',
      labelNames: ['outcome'],
      registers,
    });
    this.strikes = new Counter({
      name: 'daypass_strikes_total',
      help: 'Refused inputs, by what followed: a warning, a rest of the key, its suspension',
      labelNames: ['step'],
      registers,
    });
    this.recordRows = new Counter({
      name: 'daypass_audit_rows_total',
      help: 'Requests and checks that accounting added to the record',
      registers,
    });
    this.recordWaiting = new Gauge({
      name: 'daypass_audit_lag_entries',
      help: 'Requests and checks that wait in Redis for the record',
      registers,
    });
    this.recordBroken = new Gauge({
      name: 'daypass_audit_broken',
      help: '1: the record is not what accounting signed, or a row, content or signature in it changed; see GET /admin/v1/audit/verify',
      registers,
    });
    this.recordedChecks = new Counter({
      name: 'daypass_audit_checks_total',
      help: "Checks in the record; a campaign's share of flagged content is the share of blocked and flagged among them",
      labelNames: ['campaign', 'direction', 'guard', 'decision'],
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
    this.sealed = new Gauge({
      name: 'daypass_audit_sealed_timestamp_seconds',
      help: 'When accounting last found the whole record signed, Unix time; 0: not yet',
      registers,
    });
    this.persistent = new Gauge({
      name: 'daypass_store_persistent',
      help: '1: the store keeps its data over a restart; 0: its append-only file is off or the disk is full',
      labelNames: ['store'],
      registers,
    });
    this.budgets = new Gauge({
      name: 'daypass_campaign_budget_usd',
      help: 'Budget of an active campaign',
      labelNames: ['campaign'],
      registers,
    });
    this.spent = new Gauge({
      name: 'daypass_campaign_spent_usd',
      help: 'What the calls of an active campaign have spent of its budget',
      labelNames: ['campaign'],
      registers,
    });
    this.held = new Gauge({
      name: 'daypass_campaign_held_usd',
      help: 'What the running calls of an active campaign hold of its budget',
      labelNames: ['campaign'],
      registers,
    });
    this.campaignInfo = new Gauge({
      name: 'daypass_campaign_info',
      help: 'Always 1: the slug of an active campaign beside its id, for metrics that have the id only',
      labelNames: ['campaign', 'campaign_id'],
      registers,
    });
    this.keyCounts = new Gauge({
      name: 'daypass_keys',
      help: 'Virtual keys by status',
      labelNames: ['status'],
      registers,
    });
    this.keysSpent = new Gauge({
      name: 'daypass_top_key_spent_usd',
      help: 'What each of the ten keys that spent most has spent',
      labelNames: ['key', 'campaign'],
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

  /** Its end, looked at each second. */
  recordCut(isCut: boolean): void {
    this.isRecordCut = isCut;
    this.recordBroken.set(this.isRecordCut || !this.isRecordProven ? 1 : 0);
  }

  /** All of it, looked at from time to time. */
  recordProven(isProven: boolean): void {
    this.isRecordProven = isProven;
    this.recordCut(this.isRecordCut);
  }

  recordSealed(atMs: number): void {
    this.sealed.set(atMs / 1_000);
  }

  storeKept(isKept: boolean): void {
    this.persistent.set({ store: 'redis' }, isKept ? 1 : 0);
  }

  campaigns(figures: readonly CampaignFigures[]): void {
    for (const gauge of [this.budgets, this.spent, this.held, this.campaignInfo]) gauge.reset();
    for (const { id, slug: campaign, budgetNano, spentNano, heldNano } of figures) {
      this.budgets.set({ campaign }, usd(budgetNano));
      this.spent.set({ campaign }, usd(spentNano));
      this.held.set({ campaign }, usd(heldNano));
      this.campaignInfo.set({ campaign, campaign_id: id }, 1);
    }
  }

  keys(counts: readonly KeyCount[]): void {
    for (const status of KEY_STATUSES)
      this.keyCounts.set({ status }, Number(counts.find((row) => row.status === status)?.count ?? 0));
  }

  topKeys(figures: readonly KeyFigures[]): void {
    this.keysSpent.reset();
    for (const { id: key, slug: campaign, spentNano } of figures) this.keysSpent.set({ key, campaign }, usd(spentNano));
  }

  rebuilt(): void {
    this.rebuilds.inc();
  }
}

const signedUsd = (nano: bigint): number => Number(nano) / Number(NANO_PER_USD);
const usd = (nano: bigint): number => Math.abs(signedUsd(nano));
