import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import type { CheckRow } from '../domain/audit.chain.js';

const labelsOf = ({ campaignId, direction, guard, decision }: CheckRow): string =>
  JSON.stringify([campaignId, direction, guard, decision]);

/** How far the record reaches, and whether it is whole. */
@Injectable()
export class RecordMetrics {
  private readonly recordRows: Counter;
  private readonly recordWaiting: Gauge;
  private readonly recordBroken: Gauge;
  private readonly recordedChecks: Counter<'campaign' | 'direction' | 'guard' | 'decision'>;
  private readonly sealed: Gauge;
  private isRecordCut = false;
  private isRecordProven = true;

  constructor(@Inject(REGISTRY) registry: Registry) {
    const registers = [registry];
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
    this.sealed = new Gauge({
      name: 'daypass_audit_sealed_timestamp_seconds',
      help: 'When accounting last found the whole record signed, Unix time; 0: not yet',
      registers,
    });
  }

  /** `slugs`: the campaigns' slugs by id. */
  recorded(rows: number, checks: readonly CheckRow[], slugs: ReadonlyMap<string, string>): void {
    this.recordRows.inc(rows);
    for (const alike of Map.groupBy(checks, labelsOf).values()) {
      const { campaignId, direction, guard, decision } = alike[0]!;
      const labels = { campaign: slugs.get(campaignId) ?? campaignId, direction, guard, decision };
      this.recordedChecks.inc(labels, alike.length);
    }
  }

  recordLag(entries: number): void {
    this.recordWaiting.set(entries);
  }

  /** The checkpoint signer checks the end of the record each second. */
  recordCut(isCut: boolean): void {
    this.isRecordCut = isCut;
    this.recordBroken.set(this.isRecordCut || !this.isRecordProven ? 1 : 0);
  }

  /** The record watch proves the whole record every few hours. */
  recordProven(isProven: boolean): void {
    this.isRecordProven = isProven;
    this.recordCut(this.isRecordCut);
  }

  recordSealed(atMs: number): void {
    this.sealed.set(atMs / 1_000);
  }
}
