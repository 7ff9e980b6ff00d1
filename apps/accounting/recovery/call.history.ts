import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';

/** A call lives no longer than its wait, its upstream time limit and a lease together. */
const LONGEST_CALL = `interval '3 hours'`;
const ENDED = `SELECT FROM ledger.transfers ending WHERE ending.id = hold.request_id || ':end' AND ending.period = hold.period`;

/** A hold without an end. `dispatched`: forwarding sent the call, and the upstream has not refused it since. */
export interface OpenHold {
  requestId: string;
  keyId: string;
  campaignId: string;
  amountNano: bigint;
  day: number;
  attempt: number;
  dispatched: boolean;
}

export interface EndedCall {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** The hold's amount. */
  amountNano: bigint;
  paidNano: bigint;
  absorbedNano: bigint;
  state: 'posted' | 'voided' | 'presumed';
  day: number;
}

/** The calls that the ledger has as open, or as ended lately: what a lost Redis needs again. */
@Injectable()
export class CallHistory {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Holds without an end, as far back as a call can live. */
  async openHolds(): Promise<OpenHold[]> {
    const rows = await this.scan<
      {
        request_id: string;
        key_id: string;
        campaign_id: string;
        amount_nano: string | null;
        day: number;
        attempt: number;
        dispatched: boolean;
      }[]
    >(
      `WITH open AS MATERIALIZED (
         SELECT hold.id, hold.period, hold.request_id, hold.key_id, hold.campaign_id, hold.budget_day FROM ledger.transfers hold
          WHERE hold.kind = 'hold' AND hold.at > (SELECT max(at) - ${LONGEST_CALL} FROM ledger.drained) AND NOT EXISTS (${ENDED})
       ), sent AS (
         SELECT try.request_id, max(try.attempt) AS attempt, count(*) FILTER (WHERE try.kind = 'dispatch') > count(*) FILTER (WHERE try.kind = 'defer') AS dispatched
           FROM ledger.attempts try JOIN open ON open.request_id = try.request_id AND open.period = try.period GROUP BY try.request_id
       )
       SELECT open.request_id, open.key_id, open.campaign_id, entry.amount_nano, coalesce(open.budget_day - DATE '1970-01-01', 0) AS day,
              coalesce(sent.attempt, 0) AS attempt, coalesce(sent.dispatched, false) AS dispatched
         FROM open
         LEFT JOIN ledger.entries entry ON entry.transfer_id = open.id AND entry.period = open.period AND entry.account = 'inflight'
         LEFT JOIN sent ON sent.request_id = open.request_id`,
      [],
    );
    return rows.map((row) => ({
      requestId: row.request_id,
      keyId: row.key_id,
      campaignId: row.campaign_id,
      amountNano: BigInt(row.amount_nano ?? 0),
      day: row.day,
      attempt: row.attempt,
      dispatched: row.dispatched,
    }));
  }

  /** Calls that ended, or that a correction changed, since then. */
  recentEnds(sinceMs: number): Promise<EndedCall[]> {
    return this.endedCalls(`ending.kind IN ('post', 'void', 'presume')`, sinceMs);
  }

  /** Presumed calls since then without a correction. */
  async presumedSince(sinceMs: number): Promise<EndedCall[]> {
    return (await this.endedCalls(`ending.kind = 'presume'`, sinceMs)).filter(({ state }) => state === 'presumed');
  }

  /**
   * For big reads. Without statistics of a fresh month, the planner takes it for empty and compares each row with each.
   */
  private scan<T>(sql: string, parameters: unknown[]): Promise<T> {
    return this.source.transaction(async (manager) => {
      await manager.query('SET LOCAL enable_nestloop = off');
      return manager.query<T>(sql, parameters);
    });
  }

  private async endedCalls(which: string, sinceMs: number): Promise<EndedCall[]> {
    const rows = await this.scan<
      {
        request_id: string;
        key_id: string;
        campaign_id: string;
        kind: string;
        corrected: boolean;
        amount: string;
        billed: string;
        absorbed: string;
        day: number;
      }[]
    >(
      `WITH corrected AS (
         SELECT correction.request_id, coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%'), 0) AS billed,
                coalesce(-sum(entry.amount_nano) FILTER (WHERE entry.account = 'absorbed'), 0) AS absorbed
           FROM ledger.transfers correction LEFT JOIN ledger.entries entry ON entry.transfer_id = correction.id AND entry.period = correction.period
          WHERE correction.kind = 'correct' AND correction.at > $1 GROUP BY correction.request_id
       ), ended AS (
         SELECT ending.request_id, ending.key_id, ending.campaign_id, ending.kind, coalesce(ending.budget_day - DATE '1970-01-01', 0) AS day,
                coalesce(-sum(entry.amount_nano) FILTER (WHERE entry.account = 'inflight'), 0) AS amount,
                coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%'), 0) AS billed,
                coalesce(-sum(entry.amount_nano) FILTER (WHERE entry.account = 'absorbed'), 0) AS absorbed
           FROM ledger.transfers ending LEFT JOIN ledger.entries entry ON entry.transfer_id = ending.id AND entry.period = ending.period
          WHERE ${which} AND ending.at > $1 GROUP BY 1, 2, 3, 4, 5
       )
       SELECT ended.request_id, ended.key_id, ended.campaign_id, ended.kind, ended.day, ended.amount, corrected.request_id IS NOT NULL AS corrected,
              ended.billed + coalesce(corrected.billed, 0) AS billed, ended.absorbed + coalesce(corrected.absorbed, 0) AS absorbed
         FROM ended LEFT JOIN corrected ON corrected.request_id = ended.request_id`,
      [new Date(sinceMs)],
    );
    return rows.map((row) => {
      const [billedNano, absorbedNano] = [BigInt(row.billed), BigInt(row.absorbed)];
      const state = row.kind === 'void' ? 'voided' : row.kind === 'presume' && !row.corrected ? 'presumed' : 'posted';
      const [requestId, keyId, campaignId] = [row.request_id, row.key_id, row.campaign_id];
      return {
        requestId,
        keyId,
        campaignId,
        amountNano: BigInt(row.amount),
        paidNano: billedNano - absorbedNano,
        absorbedNano,
        state,
        day: row.day,
      };
    });
  }
}
