import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';

/** A key's first hold, with which its time began. */
export interface FirstUse {
  keyId: string;
  at: Date;
}

// The higher version sends the end to Redis again, so that it outlives Redis. An operator may have given the key a
// fixed end meanwhile, which then stays. The lock in the order of the ids avoids deadlocks.
const BEGIN = `
  WITH used AS (
    SELECT key_id, min(at) AS at FROM unnest($1::text[], $2::timestamptz[]) AS t (key_id, at) GROUP BY key_id
  ), waiting AS (
    SELECT key.id, used.at, used.at + make_interval(secs => key.ttl_from_use_seconds) AS expires_at
      FROM access.keys key JOIN used ON used.key_id = key.id
     WHERE key.ttl_from_use_seconds IS NOT NULL AND key.first_used_at IS NULL
     ORDER BY key.id FOR UPDATE OF key
  )
  UPDATE access.keys
     SET first_used_at = waiting.at, expires_at = waiting.expires_at,
         settle_at = CASE WHEN status = 'revoked' THEN settle_at ELSE waiting.expires_at END,
         version = version + 1, updated_at = now()
    FROM waiting WHERE keys.id = waiting.id`;

@Injectable()
export class FirstUseRepository {
  /** Gives each key its end, once. */
  async book(manager: EntityManager, uses: readonly FirstUse[]): Promise<void> {
    if (uses.length === 0) return;
    await manager.query(BEGIN, [uses.map(({ keyId }) => keyId), uses.map(({ at }) => at)]);
  }
}
