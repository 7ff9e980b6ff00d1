import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';

/** Nano-dollars that an account's calls spent, and that its calls in flight hold. */
export interface Usage {
  spentNano: bigint;
  heldNano: bigint;
}

export const UNUSED: Usage = { spentNano: 0n, heldNano: 0n };

interface UsageRow {
  owner: string;
  spent_nano: string;
  held_nano: string;
}

/** Room between the journal's own time and the time of an event in it. */
const SLACK = `interval '5 minutes'`;

/** Balances as the ledger keeps them beside its transfers, in the same transactions. Owners: domain/owner.ts. */
@Injectable()
export class BalanceRepository {
  /** Of every owner whose name begins so; by the rest of its name. */
  async usageOfAll(manager: EntityManager, prefix: 'key:' | 'campaign:'): Promise<Map<string, Usage>> {
    const rows = await manager.query<UsageRow[]>(
      `SELECT owner, spent_nano, held_nano FROM ledger.balances WHERE starts_with(owner, $1)`,
      [prefix],
    );
    return new Map(rows.map((row) => [row.owner.slice(prefix.length), usageOf(row)]));
  }

  async usageOf(manager: EntityManager, owners: readonly string[]): Promise<Map<string, Usage>> {
    const rows = await manager.query<UsageRow[]>(
      `SELECT owner, spent_nano, held_nano FROM ledger.balances WHERE owner = ANY ($1)`,
      [owners],
    );
    return new Map(rows.map((row) => [row.owner, usageOf(row)]));
  }

  /** As of one place in the journal: what was booked beyond it does not count. Costs by what was booked since. */
  async usageAt(manager: EntityManager, owners: readonly string[], journalId: string): Promise<Map<string, Usage>> {
    const [ms, seq] = journalId.split('-');
    const rows = await manager.query<UsageRow[]>(
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
    return new Map(rows.map((row) => [row.owner, usageOf(row)]));
  }
}

function usageOf({ spent_nano, held_nano }: UsageRow): Usage {
  return { spentNano: BigInt(spent_nano), heldNano: BigInt(held_nano) };
}
