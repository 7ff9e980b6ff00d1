import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import type { Cursor } from './domain/cursor.js';
import type { Transfer } from './domain/transfer.js';
import { storable } from './domain/storable.js';
import { LedgerTransfer } from './entities/ledger-transfer.entity.js';

export interface RejectedEntry {
  journalId: string;
  raw: Record<string, unknown>;
  reason: string;
}

/** A booked transfer with the entries it consists of. */
export interface BookedTransfer extends LedgerTransfer {
  entries: { account: string; amountNano: bigint }[];
}

// One statement, so that entries go in only with the transfer they belong to: a repeat adds nothing.
const BOOK = `
  WITH booked AS (
    INSERT INTO ledger.transfers (id, kind, request_id, key_id, campaign_id, at, detail, journal_id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::jsonb[], $8::text[])
    ON CONFLICT DO NOTHING
    RETURNING id
  ), entered AS (
    INSERT INTO ledger.entries (transfer_id, account, amount_nano)
    SELECT entry.* FROM unnest($9::text[], $10::text[], $11::bigint[]) AS entry (transfer_id, account, amount_nano)
    JOIN booked ON booked.id = entry.transfer_id
  )
  SELECT id FROM booked`;

const REJECT = `
  INSERT INTO ledger.rejected_events (journal_id, raw, reason)
  SELECT * FROM unnest($1::text[], $2::jsonb[], $3::text[]) ON CONFLICT DO NOTHING`;

/** A hold that nothing ended. */
export interface OpenHold {
  requestId: string;
  keyId: string;
  campaignId: string;
  amountNano: bigint;
}

@Injectable()
export class LedgerRepository {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Books what is not booked yet; returns the ids of what this call booked. */
  async book(manager: EntityManager, transfers: readonly Transfer[]): Promise<Set<string>> {
    if (transfers.length === 0) return new Set();
    // Sorted, so that two drains that meet on the same ids wait for each other instead of dead-locking.
    const unique = [...new Map(transfers.toReversed().map((transfer) => [transfer.id, transfer])).values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const entries = unique.flatMap(({ id, entries }) => entries.map((entry) => ({ id, ...entry })));
    const rows = await manager.query<{ id: string }[]>(BOOK, [
      unique.map(({ id }) => id),
      unique.map(({ kind }) => kind),
      unique.map(({ requestId }) => requestId),
      unique.map(({ keyId }) => keyId),
      unique.map(({ campaignId }) => campaignId),
      unique.map(({ at }) => at.toISOString()),
      unique.map(({ detail }) => JSON.stringify(storable(detail))),
      unique.map(({ journalId }) => journalId),
      entries.map(({ id }) => id),
      entries.map(({ account }) => account),
      entries.map(({ amountNano }) => amountNano.toString()),
    ]);
    return new Set(rows.map(({ id }) => id));
  }

  async reject(manager: EntityManager, entries: readonly RejectedEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await manager.query(REJECT, [
      entries.map(({ journalId }) => journalId),
      entries.map(({ raw }) => JSON.stringify(storable(raw))),
      entries.map(({ reason }) => storable(reason)),
    ]);
  }

  /** The key's transfers, newest first. */
  async transfersOfKey(keyId: string, count: number, after: Cursor | null): Promise<BookedTransfer[]> {
    const query = this.source.manager.createQueryBuilder(LedgerTransfer, 't').where('t.key_id = :keyId', { keyId });
    if (after) query.andWhere('(t.at, t.id) < (:at, :id)', { at: after.at, id: after.id });
    const transfers = await query.orderBy('t.at', 'DESC').addOrderBy('t.id', 'DESC').limit(count).getMany();
    const rows = await this.source.query<{ transfer_id: string; account: string; amount_nano: string }[]>(
      'SELECT transfer_id, account, amount_nano FROM ledger.entries WHERE transfer_id = ANY ($1) ORDER BY transfer_id, account',
      [transfers.map(({ id }) => id)],
    );
    const entries = Map.groupBy(rows, (row) => row.transfer_id);
    return transfers.map((transfer) => ({
      ...transfer,
      entries: (entries.get(transfer.id) ?? []).map(({ account, amount_nano }) => ({ account, amountNano: BigInt(amount_nano) })),
    }));
  }

  async openHolds(manager: EntityManager, count: number): Promise<OpenHold[]> {
    const rows = await manager.query<{ request_id: string; key_id: string; campaign_id: string; amount_nano: string | null }[]>(
      `SELECT hold.request_id, hold.key_id, hold.campaign_id, entry.amount_nano
         FROM ledger.transfers hold
         LEFT JOIN ledger.entries entry ON entry.transfer_id = hold.id AND entry.account = 'inflight'
        WHERE hold.kind = 'hold' AND NOT EXISTS (SELECT FROM ledger.transfers ending WHERE ending.id = hold.request_id || ':end')
        ORDER BY hold.id LIMIT $1`,
      [count],
    );
    return rows.map((row) => ({ requestId: row.request_id, keyId: row.key_id, campaignId: row.campaign_id, amountNano: BigInt(row.amount_nano ?? 0) }));
  }
}
