import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { storableJson } from '../domain/storable.js';
import type { Cursor } from '../domain/cursor.js';
import { noticeOf, type Step, type Strike } from '../domain/strike.js';

@Injectable()
export class StrikeRepository {
  /**
   * Books each strike once, with a notice to the operator. It also suspends a key whose strike did so in Redis, unless
   * a person reinstated it since. Returns the strikes that were not booked before.
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
    // The higher version sends the suspension to Redis again, so that it outlives Redis.
    await manager.query(
      `UPDATE access.keys SET status = 'suspended', status_note = 'strikes: ' || struck.strikes || ' refused inputs', version = version + 1, updated_at = now()
         FROM (SELECT key_id, max(at) AS at, max(strikes) AS strikes FROM unnest($1::text[], $2::timestamptz[], $3::int[]) AS t (key_id, at, strikes)
                GROUP BY key_id) struck
        WHERE keys.id = struck.key_id AND keys.status = 'active' AND struck.at > coalesce(keys.strikes_since, '-infinity')`,
      [
        suspended.map(({ keyId }) => keyId),
        suspended.map(({ at }) => at),
        suspended.map(({ strikes: count }) => count),
      ],
    );
    return booked;
  }

  /** The key's strikes, newest first. */
  async ofKey(manager: EntityManager, keyId: string, count: number, after: Cursor | null): Promise<Strike[]> {
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
      `SELECT * FROM access.strikes WHERE key_id = $1 AND ($2::timestamptz IS NULL OR (at, request_id) < ($2, $3)) ORDER BY at DESC, request_id DESC LIMIT $4`,
      [keyId, after?.at ?? null, after?.id ?? null, count],
    );
    return rows.map(({ request_id, key_id, campaign_id, cooldown_until, ...row }) => ({
      ...row,
      requestId: request_id,
      keyId: key_id,
      campaignId: campaign_id,
      cooldownUntil: cooldown_until,
    }));
  }

  /**
   * By key, the strikes since then that count after its last reinstatement: times in ms, newest first, and the end of
   * its rest.
   */
  async recent(
    manager: EntityManager,
    since: Date,
  ): Promise<Map<string, { times: number[]; cooldownUntilMs: number }>> {
    const rows = await manager.query<{ key_id: string; times: string[]; until: string | null }[]>(
      `SELECT strike.key_id, array_agg((extract(epoch FROM strike.at) * 1000)::bigint ORDER BY strike.at DESC) AS times,
              (extract(epoch FROM max(strike.cooldown_until)) * 1000)::bigint AS until
         FROM access.strikes strike JOIN access.keys key ON key.id = strike.key_id
        WHERE strike.at > $1 AND strike.at > coalesce(key.strikes_since, '-infinity') GROUP BY strike.key_id`,
      [since],
    );
    return new Map(
      rows.map(({ key_id, times, until }) => [
        key_id,
        { times: times.map(Number), cooldownUntilMs: Number(until ?? 0) },
      ]),
    );
  }
}
