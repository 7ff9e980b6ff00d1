import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import type { Cursor } from '../domain/cursor.js';
import { campaignOwner, dayOwner, keyOwner, OPERATOR_TOTAL } from '../domain/owner.js';
import { storable, storableJson } from '../domain/storable.js';
import { effectOf, type Attempt, type Transfer } from '../domain/transfer.js';
import type { BookedTransfer } from '../domain/transfer.view.js';
import { TrafficRepository } from './traffic.repository.js';
import { trafficOf } from '../domain/traffic.js';
import { PreparedStatement } from '../store/prepared.statement.js';
import { LedgerTransfer } from '../store/entities/ledger-transfer.entity.js';

export interface RejectedEntry {
  journalId: string;
  raw: Record<string, unknown>;
  reason: string;
}

// One statement adds entries and balances only with their transfer, so that a repeat adds nothing. It locks owners in
// their order, so that two drains wait for each other instead of deadlocking.
const BOOK = new PreparedStatement<{ id: string }>(`
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
    INSERT INTO ledger.balances AS balance (owner, spent_nano, held_nano, last_at)
    SELECT effect.owner, sum(effect.spent_nano), sum(effect.held_nano), max(effect.held_at)
      FROM unnest($15::text[], $16::text[], $17::bigint[], $18::bigint[], $19::timestamptz[])
        AS effect (transfer_id, owner, spent_nano, held_nano, held_at)
      JOIN booked ON booked.id = effect.transfer_id GROUP BY effect.owner ORDER BY effect.owner
    ON CONFLICT (owner) DO UPDATE SET spent_nano = balance.spent_nano + excluded.spent_nano, held_nano = balance.held_nano + excluded.held_nano,
      last_at = greatest(balance.last_at, excluded.last_at)
  )
  SELECT id FROM booked`);

const ATTEMPT = new PreparedStatement(`
  INSERT INTO ledger.attempts (request_id, attempt, kind, period, at)
  SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::date[], $5::timestamptz[]) ON CONFLICT DO NOTHING`);

const DRAINED = new PreparedStatement(`
  INSERT INTO ledger.drained AS former (ms, seq, at) VALUES ($1, $2, $3)
  ON CONFLICT (only_row) DO UPDATE SET ms = excluded.ms, seq = excluded.seq, at = greatest(former.at, excluded.at)
   WHERE (former.ms, former.seq) < (excluded.ms, excluded.seq)`);

const REJECT = `
  INSERT INTO ledger.rejected_events (journal_id, raw, reason)
  SELECT * FROM unnest($1::text[], $2::jsonb[], $3::text[]) ON CONFLICT DO NOTHING`;

@Injectable()
export class LedgerRepository {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    private readonly traffic: TrafficRepository,
  ) {}

  /** Books what is not booked yet. Returns the ids of the transfers that this call booked. */
  async book(manager: EntityManager, transfers: readonly Transfer[]): Promise<Set<string>> {
    if (transfers.length === 0) return new Set();
    // Sorted to avoid deadlocks, as the owners are. Of two transfers with one id the first counts.
    const unique = [...new Map(transfers.toReversed().map((transfer) => [transfer.id, transfer])).values()].toSorted(
      (a, b) => (a.id < b.id ? -1 : 1),
    );
    const entries = unique.flatMap(({ id, period, entries }) => entries.map((entry) => ({ id, period, ...entry })));
    const effects = unique.flatMap(effectsOf);
    const rows = await BOOK.run(manager, [
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
      effects.map(({ heldAt }) => heldAt?.toISOString() ?? null),
    ]);
    const booked = new Set(rows.map(({ id }) => id));
    // The statement holds the operator's balance, so that two drains meet these rows one after the other.
    await this.traffic.add(manager, trafficOf(unique.filter(({ id }) => booked.has(id))));
    return booked;
  }

  async bookAttempts(manager: EntityManager, attempts: readonly Attempt[]): Promise<void> {
    if (attempts.length === 0) return;
    await ATTEMPT.run(manager, [
      attempts.map(({ requestId }) => requestId),
      attempts.map(({ attempt }) => attempt),
      attempts.map(({ kind }) => kind),
      attempts.map(({ period }) => period),
      attempts.map(({ at }) => at.toISOString()),
    ]);
  }

  /** Saves how far accounting has booked the journal. A Redis whose journal ends earlier has lost entries. */
  async markDrained(manager: EntityManager, journalId: string, at: Date): Promise<void> {
    const [ms, seq] = journalId.split('-');
    await DRAINED.run(manager, [ms, seq ?? '0', at.toISOString()]);
  }

  /** null: the ledger is empty. Waits for a running transaction that books. */
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
}

/** Only calls spend and hold. A transfer of budget changes neither. */
function effectsOf(
  transfer: Transfer,
): { id: string; owner: string; spentNano: bigint; heldNano: bigint; heldAt: Date | null }[] {
  if (transfer.requestId === null || transfer.keyId === null) return [];
  const owners = [keyOwner(transfer.keyId), campaignOwner(transfer.campaignId), OPERATOR_TOTAL];
  if (transfer.budgetDay !== null) owners.push(dayOwner(transfer.budgetDay));
  const effect = { ...effectOf(transfer), heldAt: transfer.kind === 'hold' ? transfer.at : null };
  return owners.map((owner) => ({ id: transfer.id, owner, ...effect }));
}
