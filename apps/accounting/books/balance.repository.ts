import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Balance } from '../domain/balance.js';

interface BalanceRow {
  owner: string;
  spent_nano: string;
  held_nano: string;
}

/** The journal's own time and the time of an event in it differ by less. */
const SLACK = `interval '5 minutes'`;

/** The balances that the ledger keeps beside its transfers, in the same transactions. Owners: domain/owner.ts. */
@Injectable()
export class BalanceRepository {
  /** Of every owner with this prefix, by the rest of its name. */
  async balancesOfAll(manager: EntityManager, prefix: 'key:' | 'campaign:'): Promise<Map<string, Balance>> {
    const rows = await manager.query<BalanceRow[]>(
      `SELECT owner, spent_nano, held_nano FROM ledger.balances WHERE starts_with(owner, $1)`,
      [prefix],
    );
    return new Map(rows.map((row) => [row.owner.slice(prefix.length), balanceOf(row)]));
  }

  async balancesOf(manager: EntityManager, owners: readonly string[]): Promise<Map<string, Balance>> {
    const rows = await manager.query<BalanceRow[]>(
      `SELECT owner, spent_nano, held_nano FROM ledger.balances WHERE owner = ANY ($1)`,
      [owners],
    );
    return new Map(rows.map((row) => [row.owner, balanceOf(row)]));
  }

  /** As of one entry of the journal: later bookings do not count. The query reads everything that was booked since. */
  async balancesAt(
    manager: EntityManager,
    owners: readonly string[],
    journalId: string,
  ): Promise<Map<string, Balance>> {
    const [ms, seq] = journalId.split('-');
    const rows = await manager.query<BalanceRow[]>(
      `WITH later AS (
         SELECT t.key_id, t.campaign_id, t.budget_day,
                coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0) AS spent,
                coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account = 'inflight'), 0) AS held
           FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
          WHERE t.at > to_timestamp($2::bigint / 1000.0) - ${SLACK} AND t.request_id IS NOT NULL AND t.journal_id IS NOT NULL
            AND (split_part(t.journal_id, '-', 1)::bigint, split_part(t.journal_id, '-', 2)::bigint) > ($2::bigint, $3::bigint)
          GROUP BY t.id, t.period, t.key_id, t.campaign_id, t.budget_day
       ), effects AS (
         SELECT owner, spent, held FROM later,
                LATERAL (VALUES ('key:' || key_id), ('campaign:' || campaign_id), ('operator:total'), ('operator:day:' || budget_day)) AS owners (owner)
       )
       SELECT balance.owner, balance.spent_nano - coalesce(sum(effects.spent), 0) AS spent_nano, balance.held_nano - coalesce(sum(effects.held), 0) AS held_nano
         FROM ledger.balances balance LEFT JOIN effects ON effects.owner = balance.owner
        WHERE balance.owner = ANY ($1) GROUP BY balance.owner, balance.spent_nano, balance.held_nano`,
      [owners, ms, seq ?? '0'],
    );
    return new Map(rows.map((row) => [row.owner, balanceOf(row)]));
  }
}

function balanceOf({ spent_nano, held_nano }: BalanceRow): Balance {
  return { spentNano: BigInt(spent_nano), heldNano: BigInt(held_nano) };
}
