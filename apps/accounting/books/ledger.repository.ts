import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import type { Cursor } from '../domain/cursor.js';
import { campaignOwner, dayOwner, keyOwner, OPERATOR_TOTAL } from '../domain/owner.js';
import { storable, storableJson } from '../domain/storable.js';
import { effectOf, type Attempt, type Transfer } from '../domain/transfer.js';
import { LedgerTransfer } from '../store/entities/ledger-transfer.entity.js';

export interface RejectedEntry {
  journalId: string;
  raw: Record<string, unknown>;
  reason: string;
}

/** A booked transfer with the entries it consists of. */
export interface BookedTransfer extends LedgerTransfer {
  entries: { account: string; amountNano: bigint }[];
}

// One statement, so that entries and balances go in only with the transfer they belong to: a repeat adds nothing. Owners
// are touched in their order, so that two drains wait for each other instead of dead-locking.
const BOOK = `
  WITH given AS (
    SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::date[], $9::jsonb[], $10::text[])
      AS t (id, period, kind, request_id, key_id, campaign_id, at, budget_day, detail, journal_id)
  ), booked AS (
    INSERT INTO ledger.transfers (id, period, kind, request_id, key_id, campaign_id, at, budget_day, detail, journal_id)
    SELECT * FROM given ON CONFLICT DO NOTHING RETURNING id
  ), entered AS (
    INSERT INTO ledger.entries (transfer_id, account, amount_nano, period)
    SELECT entry.* FROM unnest($11::text[], $12::text[], $13::bigint[], $14::date[]) AS entry (transfer_id, account, amount_nano, period)
    JOIN booked ON booked.id = entry.transfer_id
  ), balanced AS (
    INSERT INTO ledger.balances AS balance (owner, spent_nano, held_nano)
    SELECT effect.owner, sum(effect.spent_nano), sum(effect.held_nano)
      FROM unnest($15::text[], $16::text[], $17::bigint[], $18::bigint[]) AS effect (transfer_id, owner, spent_nano, held_nano)
      JOIN booked ON booked.id = effect.transfer_id GROUP BY effect.owner ORDER BY effect.owner
    ON CONFLICT (owner) DO UPDATE SET spent_nano = balance.spent_nano + excluded.spent_nano, held_nano = balance.held_nano + excluded.held_nano
  )
  SELECT id FROM booked`;

const ATTEMPT = `
  INSERT INTO ledger.attempts (request_id, attempt, kind, period, at)
  SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::date[], $5::timestamptz[]) ON CONFLICT DO NOTHING`;

const DRAINED = `
  INSERT INTO ledger.drained AS former (ms, seq, at) VALUES ($1, $2, $3)
  ON CONFLICT (only_row) DO UPDATE SET ms = excluded.ms, seq = excluded.seq, at = greatest(former.at, excluded.at)
   WHERE (former.ms, former.seq) < (excluded.ms, excluded.seq)`;

const REJECT = `
  INSERT INTO ledger.rejected_events (journal_id, raw, reason)
  SELECT * FROM unnest($1::text[], $2::jsonb[], $3::text[]) ON CONFLICT DO NOTHING`;

/** A call lives no longer than its wait, its upstream time limit and a lease. */
const LONGEST_CALL = `interval '3 hours'`;
const ENDED = `SELECT FROM ledger.transfers ending WHERE ending.id = hold.request_id || ':end' AND ending.period = hold.period`;

/** A hold that nothing ended; `dispatched`: it was sent, and not refused since. */
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
  /** What was held. */
  amountNano: bigint;
  paidNano: bigint;
  absorbedNano: bigint;
  state: 'posted' | 'voided' | 'presumed';
  day: number;
}

@Injectable()
export class LedgerRepository {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Books what is not booked yet; returns the ids of what this call booked. */
  async book(manager: EntityManager, transfers: readonly Transfer[]): Promise<Set<string>> {
    if (transfers.length === 0) return new Set();
    // Sorted for the same reason as the owners; of two with one id the first counts.
    const unique = [...new Map(transfers.toReversed().map((transfer) => [transfer.id, transfer])).values()].toSorted(
      (a, b) => (a.id < b.id ? -1 : 1),
    );
    const entries = unique.flatMap(({ id, period, entries }) => entries.map((entry) => ({ id, period, ...entry })));
    const effects = unique.flatMap(effectsOf);
    const rows = await manager.query<{ id: string }[]>(BOOK, [
      unique.map(({ id }) => id),
      unique.map(({ period }) => period),
      unique.map(({ kind }) => kind),
      unique.map(({ requestId }) => requestId),
      unique.map(({ keyId }) => keyId),
      unique.map(({ campaignId }) => campaignId),
      unique.map(({ at }) => at.toISOString()),
      unique.map(({ budgetDay }) => budgetDay),
      unique.map(({ detail }) => storableJson(detail)),
      unique.map(({ journalId }) => journalId),
      entries.map(({ id }) => id),
      entries.map(({ account }) => account),
      entries.map(({ amountNano }) => amountNano.toString()),
      entries.map(({ period }) => period),
      effects.map(({ id }) => id),
      effects.map(({ owner }) => owner),
      effects.map(({ spentNano }) => spentNano.toString()),
      effects.map(({ heldNano }) => heldNano.toString()),
    ]);
    return new Set(rows.map(({ id }) => id));
  }

  async bookAttempts(manager: EntityManager, attempts: readonly Attempt[]): Promise<void> {
    if (attempts.length === 0) return;
    await manager.query(ATTEMPT, [
      attempts.map(({ requestId }) => requestId),
      attempts.map(({ attempt }) => attempt),
      attempts.map(({ kind }) => kind),
      attempts.map(({ period }) => period),
      attempts.map(({ at }) => at.toISOString()),
    ]);
  }

  /** Remembers how far the journal was booked: a Redis whose journal ends before has lost something. */
  async markDrained(manager: EntityManager, journalId: string, at: Date): Promise<void> {
    const [ms, seq] = journalId.split('-');
    await manager.query(DRAINED, [ms, seq ?? '0', at.toISOString()]);
  }

  /** null: nothing was ever booked. Waits for a batch that is being booked at this moment. */
  async drainedTo(): Promise<{ journalId: string; atMs: number } | null> {
    const [row] = await this.source.query<{ ms: string; seq: string; at: Date }[]>(
      'SELECT ms, seq, at FROM ledger.drained FOR SHARE',
    );
    return row ? { journalId: `${row.ms}-${row.seq}`, atMs: row.at.getTime() } : null;
  }

  async reject(manager: EntityManager, entries: readonly RejectedEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await manager.query(REJECT, [
      entries.map(({ journalId }) => journalId),
      entries.map(({ raw }) => storableJson(raw)),
      entries.map(({ reason }) => storable(reason)),
    ]);
  }

  /** Makes the months ahead; returns how many tables that was. */
  async ensurePartitions(): Promise<number> {
    const [row] = await this.source.query<{ made: number }[]>('SELECT ledger.ensure_partitions() AS made');
    return row?.made ?? 0;
  }

  /** The key's transfers, newest first. */
  async transfersOfKey(keyId: string, count: number, after: Cursor | null): Promise<BookedTransfer[]> {
    const query = this.source.manager.createQueryBuilder(LedgerTransfer, 't').where('t.key_id = :keyId', { keyId });
    if (after) query.andWhere('(t.at, t.id) < (:at, :id)', { at: after.at, id: after.id });
    const transfers = await query.orderBy('t.at', 'DESC').addOrderBy('t.id', 'DESC').limit(count).getMany();
    const rows = await this.source.query<{ transfer_id: string; account: string; amount_nano: string }[]>(
      `SELECT transfer_id, account, amount_nano FROM ledger.entries
        WHERE transfer_id = ANY ($1) AND period = ANY ($2::date[]) ORDER BY transfer_id, account`,
      [transfers.map(({ id }) => id), [...new Set(transfers.map(({ period }) => period))]],
    );
    const entries = Map.groupBy(rows, (row) => row.transfer_id);
    return transfers.map((transfer) => ({
      ...transfer,
      entries: (entries.get(transfer.id) ?? []).map(({ account, amount_nano }) => ({
        account,
        amountNano: BigInt(amount_nano),
      })),
    }));
  }

  /** Holds that nothing ended; only as far back as a call can live. */
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

  /** Calls that ended, or were corrected, since then. */
  recentEnds(sinceMs: number): Promise<EndedCall[]> {
    return this.endedCalls(`ending.kind IN ('post', 'void', 'presume')`, sinceMs);
  }

  /** Presumptions since then that nothing corrected. */
  async presumedSince(sinceMs: number): Promise<EndedCall[]> {
    return (await this.endedCalls(`ending.kind = 'presume'`, sinceMs)).filter(({ state }) => state === 'presumed');
  }

  /** Reads much at once. A fresh month has no statistics yet, and a planner that takes it for empty would compare each row with each. */
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

/** Only calls spend and hold; a transfer of budget changes neither. */
function effectsOf(transfer: Transfer): { id: string; owner: string; spentNano: bigint; heldNano: bigint }[] {
  if (transfer.requestId === null || transfer.keyId === null) return [];
  const owners = [keyOwner(transfer.keyId), campaignOwner(transfer.campaignId), OPERATOR_TOTAL];
  if (transfer.budgetDay !== null) owners.push(dayOwner(transfer.budgetDay));
  const effect = effectOf(transfer);
  return owners.map((owner) => ({ id: transfer.id, owner, ...effect }));
}
