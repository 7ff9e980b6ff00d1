import { Injectable } from '@nestjs/common';
import type { DeskPayload, HeldCalls } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { HolderErasure, type HolderErasureAnswer } from '../accounts/holder.erasure.js';
import { KeyService } from '../accounts/key.service.js';
import { HOLDER, runAs } from '../actor.js';
import { readCursor } from '../domain/cursor.js';
import { HeldCallList } from '../record/held.calls.js';
import { UnitOfWork } from '../store/unit-of-work.js';

type Asked<Kind extends DeskPayload['kind']> = Extract<DeskPayload, { kind: Kind }>;

const CALLS_MAX = 200;
const NOTE = 'by its holder';
/** Each one stays on record for ever. Requests at one time may add the few that a key may have at the desk. */
const ROTATIONS_PER_HOUR = 10;

/** What the holder of a virtual key may do with it. Ingress has checked the secret. The record says who did it. */
@Injectable()
export class HolderDesk {
  constructor(
    private readonly keys: KeyService,
    private readonly list: HeldCallList,
    private readonly erasure: HolderErasure,
    private readonly work: UnitOfWork,
  ) {}

  calls({ key, cursor, limit }: Asked<'key.calls'>): Promise<HeldCalls> {
    const after = cursor === null ? null : readCursor(cursor);
    if (cursor !== null && after === null)
      throw new DaypassError('invalid_request', 'cursor: is not a cursor that this list gave out.', {
        param: 'cursor',
      });
    return this.list.page(key, { cursor: after, limit: Math.min(Math.max(1, limit), CALLS_MAX) });
  }

  /** Ingress made the new virtual key, and shows it once this has answered. */
  async rotate({ key, token_hash, prefix, former_hash }: Asked<'key.rotate'>): Promise<{ id: string; prefix: string }> {
    await this.refuseManyRotations(key);
    const secret = { tokenHash: token_hash, prefix };
    const { id } = await runAs(HOLDER, () => this.keys.replaceSecret(key, secret, NOTE, former_hash));
    return { id, prefix };
  }

  async revoke({ key }: Asked<'key.revoke'>): Promise<{ id: string; status: string }> {
    const { id, status } = await runAs(HOLDER, () => this.keys.setStatus(key, 'revoked', NOTE));
    return { id, status };
  }

  private async refuseManyRotations(key: string): Promise<void> {
    const [row] = await this.work.manager.query<{ rotations: number }[]>(
      `SELECT count(*)::int AS rotations FROM audit.acts
        WHERE subject = $1 AND at > now() - interval '1 hour' AND kind = 'status' AND actor = $2 AND note LIKE 'rotated%'`,
      [key, HOLDER],
    );
    if (row!.rotations < ROTATIONS_PER_HOUR) return;
    throw new DaypassError(
      'rate_limit_exceeded',
      `A key can be replaced ${ROTATIONS_PER_HOUR} times an hour, and this one was. Try again in an hour. Nothing was changed.`,
      { details: { limit: 'rotations' } },
    );
  }

  erase({ key }: Asked<'key.erase'>): Promise<HolderErasureAnswer> {
    return this.erasure.erase(key);
  }
}
