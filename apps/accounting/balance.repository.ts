import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';

/** Nano-dollars that an account's calls spent, and that its calls in flight hold. */
export interface Usage {
  spentNano: bigint;
  heldNano: bigint;
}

export const UNUSED: Usage = { spentNano: 0n, heldNano: 0n };

type Owner = 'key_id' | 'campaign_id';
interface UsageRow {
  owner: string;
  spent: string;
  held: string;
}

const SPENT = `coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0)`;
const HELD = `coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account = 'inflight'), 0)`;
// A stream id is two numbers: as text, 9-0 would come after 10-0.
const UP_TO = `(t.journal_id IS NULL OR (split_part(t.journal_id, '-', 1)::bigint, split_part(t.journal_id, '-', 2)::bigint) <= (split_part($2, '-', 1)::bigint, split_part($2, '-', 2)::bigint))`;

/** Balances, worked out from the ledger's entries. */
@Injectable()
export class BalanceRepository {
  /** Of every key or campaign that ever had a call. */
  async usageOfAll(manager: EntityManager, owner: Owner): Promise<Map<string, Usage>> {
    const rows = await manager.query<UsageRow[]>(
      `SELECT t.${owner} AS owner, ${SPENT} AS spent, ${HELD} AS held
         FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id
        WHERE t.request_id IS NOT NULL GROUP BY 1`,
    );
    return byOwner(rows);
  }

  /** As of one place in the journal: later bookings do not count. */
  async usageAt(manager: EntityManager, owner: Owner, ids: readonly string[], journalId: string): Promise<Map<string, Usage>> {
    const rows = await manager.query<UsageRow[]>(
      `SELECT t.${owner} AS owner, ${SPENT} AS spent, ${HELD} AS held
         FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id
        WHERE t.request_id IS NOT NULL AND t.${owner} = ANY ($1) AND ${UP_TO} GROUP BY 1`,
      [ids, journalId],
    );
    return byOwner(rows);
  }

  /** What the calls that began on one UTC day cost and hold; `day` counts days since 1970. */
  async usageOfDay(manager: EntityManager, day: number): Promise<Usage> {
    const rows = await manager.query<UsageRow[]>(
      `SELECT '' AS owner, ${SPENT} AS spent, ${HELD} AS held
         FROM ledger.transfers hold
         JOIN ledger.transfers t ON t.request_id = hold.request_id
         JOIN ledger.entries entry ON entry.transfer_id = t.id
        WHERE hold.kind = 'hold' AND hold.at >= $1 AND hold.at < $2`,
      [new Date(day * 86_400_000), new Date((day + 1) * 86_400_000)],
    );
    return byOwner(rows).get('') ?? UNUSED;
  }
}

function byOwner(rows: readonly UsageRow[]): Map<string, Usage> {
  return new Map(rows.map(({ owner, spent, held }) => [owner, { spentNano: BigInt(spent), heldNano: BigInt(held) }]));
}
