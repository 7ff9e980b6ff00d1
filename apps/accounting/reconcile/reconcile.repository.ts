import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import type { Rates } from '#libs/contracts/jobs.js';
import { COUNTS, type Counts } from '#libs/money/reconcile.js';
import type { MeasuredCalls } from '../domain/evidence.js';
import { COST, MEASURED, OPEN, REPORT } from './reconcile.sql.js';
import type { CostRow, ReportRow } from './report.client.js';

/** A presumed call that nothing has corrected yet. */
export interface OpenPresumption {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** Its API, as the hold's detail names it; undefined: chat completions. */
  endpoint: string | undefined;
  model: string;
  heldNano: bigint;
  day: number;
  /** null: bookings of an older Daypass lack them. */
  rates: Rates | null;
  feeNano: bigint;
  /** Forwarding sent the call between these moments, ms. */
  sentFromMs: number;
  sentToMs: number;
}

export interface Assessment {
  requestId: string;
  heldNano: bigint;
  keptNano: bigint;
  evidence: object;
}

export interface Run {
  ranAt: Date;
  outcome: string;
  figures: Record<string, unknown>;
}

export interface DayDrift {
  day: string;
  bookedNano: bigint;
  billedNano: bigint;
}

/** Any number, as long as every accounting process uses the same one. */
const LOCK = 0x64_70_02;
const STATEMENT_TIMEOUT_MS = 300_000;

const holdDetail = z.object({
  endpoint: z.string().optional(),
  model: z.string(),
  rates: z.object({ input: z.number(), cachedInput: z.number(), cacheWrite: z.number(), output: z.number() }).nullish(),
  fee: z.string().regex(/^\d+$/).default('0'),
});

@Injectable()
export class ReconcileRepository {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Runs the work, unless another process runs it at this moment. */
  async exclusively<T>(work: () => Promise<T>): Promise<T | 'busy'> {
    const runner = this.source.createQueryRunner();
    try {
      await runner.connect();
      const [row] = (await runner.query('SELECT pg_try_advisory_lock($1) AS mine', [LOCK])) as { mine: boolean }[];
      if (!row!.mine) return 'busy';
      try {
        return await work();
      } finally {
        await runner.query('SELECT pg_advisory_unlock($1)', [LOCK]);
      }
    } finally {
      await runner.release();
    }
  }

  async openPresumptions(since: Date): Promise<OpenPresumption[]> {
    type Row = {
      request_id: string;
      key_id: string;
      campaign_id: string;
      detail: unknown;
      held: string;
      day: number;
      sent_from: Date;
      sent_to: Date;
    };
    const rows = await this.source.query<Row[]>(OPEN, [since]);
    return rows.map((row) => {
      const detail = holdDetail.safeParse(row.detail);
      return {
        requestId: row.request_id,
        keyId: row.key_id,
        campaignId: row.campaign_id,
        endpoint: detail.data?.endpoint,
        model: detail.data?.model ?? '',
        heldNano: BigInt(row.held),
        day: row.day,
        rates: detail.data?.rates ?? null,
        feeNano: BigInt(detail.data?.fee ?? '0'),
        sentFromMs: row.sent_from.getTime(),
        sentToMs: row.sent_to.getTime(),
      };
    });
  }

  /** The measured calls that ended in that stretch. */
  async measured(fromMs: number, toMs: number): Promise<MeasuredCalls[]> {
    type Row = Record<
      'edge' | 'model' | 'served' | 'minute_ms' | 'requests' | 'uncached' | 'cached' | 'cache_write' | 'output',
      string
    >;
    const rows = await this.source.transaction(async (manager) => {
      await manager.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      // Without statistics of a fresh month, the planner takes it for empty and compares each row with each.
      await manager.query('SET LOCAL enable_nestloop = off');
      return manager.query<Row[]>(MEASURED, [new Date(fromMs), new Date(toMs)]);
    });
    return rows.map((row) => ({
      edge: row.edge as MeasuredCalls['edge'],
      model: row.model,
      served: row.served,
      minuteMs: Number(row.minute_ms),
      requests: Number(row.requests),
      uncached: Number(row.uncached),
      cached: Number(row.cached),
      cacheWrite: Number(row.cache_write),
      output: Number(row.output),
    }));
  }

  async saveReports(rows: readonly ReportRow[]): Promise<void> {
    const column = (count: keyof Counts): number[] => rows.map((row) => row[count]);
    await this.source.query(REPORT, [
      rows.map(({ minuteMs }) => new Date(minuteMs)),
      rows.map(({ model }) => model ?? ''),
      rows.map(({ serviceTier }) => serviceTier ?? ''),
      ...COUNTS.map(column),
    ]);
  }

  async saveCosts(scope: string, rows: readonly CostRow[]): Promise<void> {
    await this.source.query(COST, [
      rows.map(({ day }) => day),
      rows.map(({ lineItem }) => lineItem),
      rows.map(({ amountNano }) => amountNano.toString()),
      scope,
    ]);
  }

  /** The first assessment of a call is final. Returns what that one keeps. */
  async saveAssessment({ requestId, heldNano, keptNano, evidence }: Assessment): Promise<bigint> {
    await this.source.query(
      `INSERT INTO ledger.judgements (request_id, held_nano, kept_nano, evidence) VALUES ($1, $2, $3, $4) ON CONFLICT (request_id) DO NOTHING`,
      [requestId, heldNano.toString(), keptNano.toString(), JSON.stringify(evidence)],
    );
    const [row] = await this.source.query<{ kept_nano: string }[]>(
      'SELECT kept_nano FROM ledger.judgements WHERE request_id = $1',
      [requestId],
    );
    return BigInt(row!.kept_nano);
  }

  async saveRun({ ranAt, outcome, figures }: Run): Promise<void> {
    await this.source.query(
      `INSERT INTO access.reconciliation (ran_at, outcome, figures) VALUES ($1, $2, $3)
       ON CONFLICT (only_row) DO UPDATE SET ran_at = excluded.ran_at, outcome = excluded.outcome, figures = excluded.figures`,
      [ranAt, outcome, JSON.stringify(figures)],
    );
  }

  async lastRun(): Promise<Run | null> {
    const [row] = await this.source.query<{ ran_at: Date; outcome: string; figures: Run['figures'] }[]>(
      'SELECT ran_at, outcome, figures FROM access.reconciliation',
    );
    return row ? { ranAt: row.ran_at, outcome: row.outcome, figures: row.figures } : null;
  }

  /** UTC days since 1970; null before the first call. */
  async firstBookedDay(): Promise<number | null> {
    const [row] = await this.source.query<{ day: number | null }[]>(
      `SELECT min(substr(owner, length('operator:day:') + 1)::date) - DATE '1970-01-01' AS day FROM ledger.balances WHERE starts_with(owner, 'operator:day:')`,
    );
    return row?.day ?? null;
  }

  /** Days that the provider billed, newest first. */
  async drift(scope: string, days: number): Promise<DayDrift[]> {
    const rows = await this.source.query<{ day: string; booked: string; billed: string }[]>(
      `SELECT to_char(day, 'YYYY-MM-DD') AS day, (booked_usd * 1000000000)::bigint AS booked, (billed_usd * 1000000000)::bigint AS billed
         FROM ledger.daily_drift WHERE scope = $1 ORDER BY day DESC LIMIT $2`,
      [scope, days],
    );
    return rows.map(({ day, booked, billed }) => ({ day, bookedNano: BigInt(booked), billedNano: BigInt(billed) }));
  }
}
