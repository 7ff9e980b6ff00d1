import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import type { Rates } from '#libs/contracts/jobs.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { COUNTS, type Counts } from '#libs/money/reconcile.js';
import type { Known } from '../domain/evidence.js';
import type { CostRow, ReportRow } from './report.client.js';

/** A presumed call that nothing has corrected yet. */
export interface OpenPresumption {
  requestId: string;
  keyId: string;
  campaignId: string;
  model: string;
  heldNano: bigint;
  day: number;
  /** null: bookings of an older Daypass do not tell. */
  rates: Rates | null;
  feeNano: bigint;
  /** The earliest and the latest that it can have been sent, ms. */
  sentFromMs: number;
  sentToMs: number;
}

export interface Judgement {
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
const OPEN_MAX = 10_000;

const holdDetail = z.object({
  model: z.string(),
  rates: z.object({ input: z.number(), cachedInput: z.number(), cacheWrite: z.number(), output: z.number() }).nullish(),
  fee: z.string().regex(/^\d+$/).default('0'),
});

/** The ids of Daypass begin with the milliseconds of the ingress that took the call. */
const ARRIVED = (id: string): string =>
  `CASE WHEN ${id} ~ '^req_[0-9a-f]{32}$' THEN to_timestamp(('x' || substr(${id}, 5, 12))::bit(48)::bigint / 1000.0) END`;

/** The reports are OPENAI_API_KEY's account's; what went to another upstream is not in them. */
const ELSEWHERE = (account: string): string =>
  `${account} LIKE 'upstream:%' AND ${account} <> 'upstream:${FIRST_UPSTREAM}'`;

const OPEN = `
  SELECT presumed.request_id, presumed.key_id, presumed.campaign_id, hold.detail, -entry.amount_nano AS held,
         coalesce(presumed.budget_day - DATE '1970-01-01', 0) AS day,
         least(hold.at, sent.first, ${ARRIVED('presumed.request_id')}) AS sent_from, greatest(hold.at, sent.last) AS sent_to
    FROM ledger.transfers presumed
    JOIN ledger.transfers hold ON hold.id = presumed.request_id || ':hold' AND hold.period = presumed.period
    JOIN ledger.entries entry ON entry.transfer_id = presumed.id AND entry.period = presumed.period AND entry.account = 'inflight'
    LEFT JOIN ledger.judgements judgement ON judgement.request_id = presumed.request_id
   CROSS JOIN LATERAL (SELECT min(try.at) AS first, max(try.at) AS last FROM ledger.attempts try
                        WHERE try.request_id = presumed.request_id AND try.period = presumed.period AND try.kind = 'dispatch') sent
   WHERE presumed.kind = 'presume' AND presumed.at > $1 AND (judgement.request_id IS NULL OR judgement.kept_nano < judgement.held_nano)
     AND NOT EXISTS (SELECT FROM ledger.entries other
                      WHERE other.transfer_id = presumed.id AND other.period = presumed.period AND ${ELSEWHERE('other.account')})
     AND NOT EXISTS (SELECT FROM ledger.transfers correction
                      WHERE correction.id = presumed.request_id || ':correct' AND correction.period = presumed.period)
   ORDER BY presumed.at LIMIT ${OPEN_MAX}`;

const KNOWN = `
  WITH ended AS MATERIALIZED (
    SELECT t.request_id, t.period, t.at, t.detail FROM ledger.transfers t
     WHERE t.at >= $1 AND t.at < $2 AND t.kind IN ('post', 'correct') AND t.detail->>'estimated' = 'false' AND t.detail->>'served' <> '' AND t.detail->>'upstream' IS NULL
  ), sent AS (
    SELECT try.request_id, min(try.at) AS at
      FROM ledger.attempts try JOIN ended ON ended.request_id = try.request_id AND ended.period = try.period
     WHERE try.kind = 'dispatch' GROUP BY try.request_id
  ), known AS (
    SELECT detail->>'model' AS model, detail->>'served' AS served, least(sent.at, ${ARRIVED('ended.request_id')}) AS started, ended.at AS ended,
           (detail->'usage'->>'input')::bigint AS input, (detail->'usage'->>'cached')::bigint AS cached,
           (detail->'usage'->>'cacheWrite')::bigint AS cache_write, (detail->'usage'->>'output')::bigint AS output
      FROM ended JOIN sent ON sent.request_id = ended.request_id
  )
  SELECT edge, model, served, extract(epoch FROM minute) * 1000 AS minute_ms, count(*) AS requests, sum(input - cached - cache_write) AS uncached,
         sum(cached) AS cached, sum(cache_write) AS cache_write, sum(output) AS output
    FROM known, LATERAL (VALUES ('start', date_trunc('minute', started)), ('end', date_trunc('minute', ended))) AS edges (edge, minute)
   GROUP BY edge, model, served, minute`;

/** A version is kept only where it says something new. */
const REPORT = `
  INSERT INTO ledger.reports (minute, model, service_tier, requests, uncached_tokens, cached_tokens, cache_write_tokens, output_tokens)
  SELECT given.* FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
      AS given (minute, model, service_tier, requests, uncached, cached, cache_write, output)
    LEFT JOIN LATERAL (SELECT * FROM ledger.reports former
                        WHERE former.minute = given.minute AND former.model = given.model AND former.service_tier = given.service_tier
                        ORDER BY former.fetched_at DESC LIMIT 1) latest ON true
   WHERE (latest.requests, latest.uncached_tokens, latest.cached_tokens, latest.cache_write_tokens, latest.output_tokens)
         IS DISTINCT FROM (given.requests, given.uncached, given.cached, given.cache_write, given.output)`;

const COST = `
  INSERT INTO ledger.costs (day, line_item, scope, amount_nano)
  SELECT given.day, given.line_item, $4, given.amount_nano FROM unnest($1::date[], $2::text[], $3::bigint[]) AS given (day, line_item, amount_nano)
    LEFT JOIN LATERAL (SELECT former.amount_nano FROM ledger.costs former
                        WHERE former.day = given.day AND former.line_item = given.line_item AND former.scope = $4
                        ORDER BY former.fetched_at DESC LIMIT 1) latest ON true
   WHERE latest.amount_nano IS DISTINCT FROM given.amount_nano`;

@Injectable()
export class ReconcileRepository {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Runs the work unless another process does so already. */
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

  /** Of calls that ended in that stretch. */
  async known(fromMs: number, toMs: number): Promise<Known[]> {
    type Row = Record<
      'edge' | 'model' | 'served' | 'minute_ms' | 'requests' | 'uncached' | 'cached' | 'cache_write' | 'output',
      string
    >;
    const rows = await this.source.transaction(async (manager) => {
      await manager.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      // A fresh month has no statistics yet, and a planner that takes it for empty would compare each row with each.
      await manager.query('SET LOCAL enable_nestloop = off');
      return manager.query<Row[]>(KNOWN, [new Date(fromMs), new Date(toMs)]);
    });
    return rows.map((row) => ({
      edge: row.edge as Known['edge'],
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

  /** Returns what is kept by the first judgement of this call, be it this one or a former. */
  async saveJudgement({ requestId, heldNano, keptNano, evidence }: Judgement): Promise<bigint> {
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
