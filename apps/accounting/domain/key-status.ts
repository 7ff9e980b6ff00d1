import { formatUsd } from '#libs/money/nano.js';
import type { KeyStatus } from '#libs/contracts/key-state.js';
import type { Key } from '../store/entities/key.entity.js';
import type { ActRow } from './audit.chain.js';

export type KeyAction = 'suspend' | 'reinstate' | 'revoke';

export const STATUS_AFTER: Record<KeyAction, KeyStatus> = {
  suspend: 'suspended',
  reinstate: 'active',
  revoke: 'revoked',
};

const DONE: Record<KeyStatus, string> = { suspended: 'suspended', active: 'reinstated', revoked: 'revoked' };

/** The key's budget is due at once, whatever the clocks show. */
export const DUE_AT_ONCE = new Date(0);

/** What a new status changes of a key. */
export function statusChange(
  current: Pick<Key, 'status' | 'statusNote'>,
  status: KeyStatus,
  note: string | null,
  now: Date,
): Partial<Key> {
  return {
    status,
    statusNote: note ?? (current.status === status ? current.statusNote : null),
    ...(status === 'revoked' && current.status !== 'revoked' ? { revokedAt: now, returnDueAt: DUE_AT_ONCE } : {}),
    ...(status === 'active' ? { strikesSince: now } : {}),
  };
}

/** What many keys get at once, beside a status. */
export type KeyRaise = { ttlSeconds: number } | { amountNano: bigint };

/** What the record keeps of more time or budget. */
export function raiseAct(
  keyId: string,
  raise: KeyRaise,
  note: string | null,
): Pick<ActRow, 'act' | 'subject' | 'note'> {
  const what =
    'amountNano' in raise ? `funded with ${formatUsd(raise.amountNano)} dollars` : `extended by ${raise.ttlSeconds} s`;
  return { act: 'terms', subject: keyId, note: note === null ? what : `${what}: ${note}` };
}

/** What the record keeps of what a person did about a key. */
export function keyAct(
  keyId: string,
  done: KeyStatus | 'rotated',
  note: string | null,
): Pick<ActRow, 'act' | 'subject' | 'note'> {
  const what = done === 'rotated' ? done : DONE[done];
  return { act: 'status', subject: keyId, note: note === null ? what : `${what}: ${note}` };
}
