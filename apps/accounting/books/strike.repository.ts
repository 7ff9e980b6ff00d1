import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { storableJson } from '../domain/storable.js';
import type { Cursor } from '../domain/cursor.js';
import { noticeOf, type Step, type Strike } from '../domain/strike.js';

@Injectable()
export class StrikeRepository {
  /**
   * Books each strike once, with a notice to the operator. It also suspends the keys of a visitor whose strike did so in
   * Redis, unless a person reinstated one since. Their claimant claims no more. Returns the strikes that were not booked before.
   */
  async book(manager: EntityManager, strikes: readonly Strike[]): Promise<readonly Strike[]> {
    if (strikes.length === 0) return [];
    const rows = await manager.query<{ request_id: string }[]>(
      `INSERT INTO access.strikes (request_id, key_id, campaign_id, at, strikes, step, detail, cooldown_until)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[], $7::jsonb[], $8::timestamptz[])
       ON CONFLICT DO NOTHING RETURNING request_id`,
      [
        strikes.map(({ requestId }) => requestId),
        strikes.map(({ keyId }) => keyId),
        strikes.map(({ campaignId }) => campaignId),
        strikes.map(({ at }) => at),
        strikes.map(({ strikes: count }) => count),
        strikes.map(({ step }) => step),
        strikes.map(({ detail }) => storableJson(detail)),
        strikes.map(({ cooldownUntil }) => cooldownUntil),
      ],
    );
    const fresh = new Set(rows.map(({ request_id }) => request_id));
    const booked = strikes.filter(({ requestId }) => fresh.has(requestId));
    if (booked.length === 0) return [];
    await manager.query(
      `INSERT INTO access.notices (id, at, body) SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::jsonb[]) ON CONFLICT DO NOTHING`,
      [
        booked.map(({ requestId }) => `strike:${requestId}`),
        booked.map(({ at }) => at),
        booked.map((strike) => storableJson(noticeOf(strike))),
      ],
    );
    const suspended = booked.filter(({ step }) => step === 'suspend');
    if (suspended.length === 0) return booked;
    const values = [
      suspended.map(({ keyId }) => keyId),
      suspended.map(({ at }) => at),
      suspended.map(({ strikes: count }) => count),
    ];
    // In the order of their ids, as all that write several keys do. A later pardon of any key holds for its claimant.
    const due = await manager.query<{ id: string; strikes: number }[]>(
      `WITH struck AS (
         SELECT coalesce(key.claimant_id, key.id) AS visitor_id, max(given.at) AS at, max(given.strikes) AS strikes
           FROM unnest($1::text[], $2::timestamptz[], $3::int[]) AS given (key_id, at, strikes) JOIN access.keys key ON key.id = given.key_id
          GROUP BY 1
       )
       SELECT key.id, struck.strikes FROM struck JOIN access.keys key ON key.id = struck.visitor_id OR key.claimant_id = struck.visitor_id
        WHERE key.status = 'active' AND struck.at > coalesce(${PARDONED}, '-infinity')
        ORDER BY key.id FOR UPDATE OF key`,
      values,
    );
    // The higher version sends the suspension to Redis again, so that it outlives Redis.
    await manager.query(
      `UPDATE access.keys SET status = 'suspended', status_note = 'strikes: ' || due.strikes || ' refused inputs', version = version + 1, updated_at = now()
         FROM unnest($1::text[], $2::int[]) AS due (id, strikes) WHERE keys.id = due.id`,
      [due.map(({ id }) => id), due.map(({ strikes: count }) => count)],
    );
    // Also where its holder ended the key meanwhile: to end keys is no way around the block.
    await manager.query(
      `UPDATE access.claimants SET blocked_at = now(), blocked_by = 'suspension'
        WHERE blocked_at IS NULL AND id IN (
          SELECT key.claimant_id FROM unnest($1::text[], $2::timestamptz[]) AS given (key_id, at) JOIN access.keys key ON key.id = given.key_id
           WHERE given.at > coalesce(${PARDONED}, '-infinity'))`,
      [suspended.map(({ keyId }) => keyId), suspended.map(({ at }) => at)],
    );
    return booked;
  }

  /** The strikes of a visitor's keys, newest first. */
  async ofKeys(
    manager: EntityManager,
    keyIds: readonly string[],
    count: number,
    after: Cursor | null,
  ): Promise<Strike[]> {
    type Row = {
      request_id: string;
      key_id: string;
      campaign_id: string;
      at: Date;
      strikes: number;
      step: Step;
      cooldown_until: Date | null;
      detail: Record<string, unknown>;
    };
    const rows = await manager.query<Row[]>(
      `SELECT * FROM access.strikes WHERE key_id = ANY ($1) AND ($2::timestamptz IS NULL OR (at, request_id) < ($2, $3)) ORDER BY at DESC, request_id DESC LIMIT $4`,
      [keyIds, after?.at ?? null, after?.id ?? null, count],
    );
    return rows.map(({ request_id, key_id, campaign_id, cooldown_until, ...row }) => ({
      ...row,
      requestId: request_id,
      keyId: key_id,
      campaignId: campaign_id,
      cooldownUntil: cooldown_until,
    }));
  }

  /** How many strikes each of the keys has since a person reinstated it last. */
  async countsOf(manager: EntityManager, keyIds: readonly string[]): Promise<Map<string, number>> {
    if (keyIds.length === 0) return new Map();
    const rows = await manager.query<{ key_id: string; strikes: number }[]>(
      `SELECT strike.key_id, count(*)::int AS strikes FROM access.strikes strike JOIN access.keys key ON key.id = strike.key_id
        WHERE strike.key_id = ANY ($1) AND strike.at > coalesce(key.strikes_since, '-infinity') GROUP BY strike.key_id`,
      [keyIds],
    );
    return new Map(rows.map(({ key_id, strikes }) => [key_id, strikes]));
  }

  /**
   * By visitor, the strikes since then that count after the last reinstatement of a key of it: times in ms, newest
   * first, and the end of its rest. `claimed`: the visitor is a claimant.
   */
  async recent(
    manager: EntityManager,
    since: Date,
  ): Promise<Map<string, { times: number[]; cooldownUntilMs: number; claimed: boolean }>> {
    const rows = await manager.query<{ visitor_id: string; claimed: boolean; times: string[]; until: string | null }[]>(
      `SELECT coalesce(key.claimant_id, key.id) AS visitor_id, bool_or(key.claimant_id IS NOT NULL) AS claimed,
              array_agg((extract(epoch FROM strike.at) * 1000)::bigint ORDER BY strike.at DESC) AS times,
              (extract(epoch FROM max(strike.cooldown_until)) * 1000)::bigint AS until
         FROM access.strikes strike JOIN access.keys key ON key.id = strike.key_id
        WHERE strike.at > $1 AND strike.at > coalesce(${PARDONED}, '-infinity') GROUP BY 1`,
      [since],
    );
    return new Map(
      rows.map(({ visitor_id, claimed, times, until }) => [
        visitor_id,
        { times: times.map(Number), cooldownUntilMs: Number(until ?? 0), claimed },
      ]),
    );
  }
}

/** When a person last reinstated the key, or another one of its claimant: earlier strikes no longer count. */
const PARDONED = `CASE WHEN key.claimant_id IS NULL THEN key.strikes_since
  ELSE (SELECT max(other.strikes_since) FROM access.keys other WHERE other.claimant_id = key.claimant_id) END`;
