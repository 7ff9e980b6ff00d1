import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Balance } from '../domain/balance.js';
import { keyOwner } from '../domain/owner.js';

interface BalanceRow {
  owner: string;
  spent_nano: string;
  held_nano: string;
  absorbed_nano: string;
}

/** The transfer `t` was booked from an entry of the journal up to `$2-$3`, or by accounting itself. */
const BOOKED_BY_THEN = `(t.journal_id IS NULL OR (split_part(t.journal_id, '-', 1)::bigint, split_part(t.journal_id, '-', 2)::bigint) <= ($2::bigint, $3::bigint))`;

/** The journal's own time and the time of an event in it differ by less. */
const SLACK = `interval '5 minutes'`;

/**
 * What the operator absorbed, by owner. It is too rare to be kept beside the balances. An index has its entries alone.
 * `$owners`: a condition on the owner. `$booked`: on the transfer `t`.
 */
const ABSORBED = `
  SELECT owners.owner, -sum(entry.amount_nano) AS nano
    FROM ledger.entries entry JOIN ledger.transfers t ON t.id = entry.transfer_id AND t.period = entry.period,
         LATERAL (VALUES ('key:' || t.key_id), ('campaign:' || t.campaign_id), ('operator:total'), ('operator:day:' || t.budget_day)) AS owners (owner)
   WHERE entry.account = 'absorbed' AND $owners AND $booked GROUP BY owners.owner`;
const absorbedBy = (owners: string, booked = 'true'): string =>
  ABSORBED.replace('$owners', () => owners).replace('$booked', () => booked);

/** Redis counts no further (balances.include.lua). */
const ABSORBED_MAX_NANO = BigInt(Number.MAX_SAFE_INTEGER);
const cappedNano = (nano: string): bigint => (BigInt(nano) > ABSORBED_MAX_NANO ? ABSORBED_MAX_NANO : BigInt(nano));

/** The balances that the ledger keeps beside its transfers, in the same transactions. Owners: domain/owner.ts. */
@Injectable()
export class BalanceRepository {
  /** Of every owner with this prefix, by the rest of its name. */
  async balancesOfAll(manager: EntityManager, prefix: 'key:' | 'campaign:'): Promise<Map<string, Balance>> {
    const rows = await manager.query<BalanceRow[]>(
      `SELECT balance.owner, spent_nano, held_nano, coalesce(absorbed.nano, 0) AS absorbed_nano
         FROM ledger.balances balance LEFT JOIN (${absorbedBy('starts_with(owners.owner, $1)')}) absorbed ON absorbed.owner = balance.owner
        WHERE starts_with(balance.owner, $1)`,
      [prefix],
    );
    return new Map(rows.map((row) => [row.owner.slice(prefix.length), balanceOf(row)]));
  }

  async balancesOf(manager: EntityManager, owners: readonly string[]): Promise<Map<string, Balance>> {
    const rows = await manager.query<BalanceRow[]>(
      `SELECT balance.owner, spent_nano, held_nano, coalesce(absorbed.nano, 0) AS absorbed_nano
         FROM ledger.balances balance LEFT JOIN (${absorbedBy('owners.owner = ANY ($1)')}) absorbed ON absorbed.owner = balance.owner
        WHERE balance.owner = ANY ($1)`,
      [owners],
    );
    return new Map(rows.map((row) => [row.owner, balanceOf(row)]));
  }

  /** What the operator absorbed of every owner, nano-dollars. Owners of whom it absorbed nothing are not there. */
  async absorbed(manager: EntityManager): Promise<Map<string, bigint>> {
    const rows = await manager.query<{ owner: string; nano: string }[]>(absorbedBy('owners.owner IS NOT NULL'));
    return new Map(rows.map(({ owner, nano }) => [owner, cappedNano(nano)]));
  }

  /** By key, when its last call was booked as held. */
  async lastCalls(manager: EntityManager, keyIds: readonly string[]): Promise<Map<string, Date>> {
    const rows = await manager.query<{ id: string; at: Date }[]>(
      `SELECT substr(owner, 5) AS id, last_at AS at FROM ledger.balances WHERE owner = ANY ($1) AND last_at IS NOT NULL`,
      [keyIds.map(keyOwner)],
    );
    return new Map(rows.map(({ id, at }) => [id, at]));
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
       ), absorbed AS (${absorbedBy('owners.owner = ANY ($1)', BOOKED_BY_THEN)})
       SELECT balance.owner, balance.spent_nano - coalesce(sum(effects.spent), 0) AS spent_nano, balance.held_nano - coalesce(sum(effects.held), 0) AS held_nano,
              coalesce(max(absorbed.nano), 0) AS absorbed_nano
         FROM ledger.balances balance LEFT JOIN effects ON effects.owner = balance.owner LEFT JOIN absorbed ON absorbed.owner = balance.owner
        WHERE balance.owner = ANY ($1) GROUP BY balance.owner, balance.spent_nano, balance.held_nano`,
      [owners, ms, seq ?? '0'],
    );
    return new Map(rows.map((row) => [row.owner, balanceOf(row)]));
  }
}

function balanceOf({ spent_nano, held_nano, absorbed_nano }: BalanceRow): Balance {
  return { spentNano: BigInt(spent_nano), heldNano: BigInt(held_nano), absorbedNano: cappedNano(absorbed_nano) };
}
