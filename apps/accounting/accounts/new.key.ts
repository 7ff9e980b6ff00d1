import type { KeyLimits } from '#libs/contracts/key-state.js';
import { Key } from '../store/entities/key.entity.js';

interface NewKey {
  id: string;
  campaignId: string;
  label: string;
  tokenHash: string;
  prefix: string;
  models: Key['models'];
  moderation: Key['moderation'];
  claimantId: string | null;
  linkId: string | null;
  terms: {
    budgetNano: bigint;
    expiresAt: Date | null;
    startsAt: Date | null;
    ttlFromUseSeconds: number | null;
    limits: KeyLimits;
  };
  now: Date;
}

/** A key as it begins: active, and without a call. */
export function newKey({ terms, now, ...given }: NewKey): Key {
  return Object.assign(new Key(), {
    ...given,
    ...terms,
    status: 'active',
    statusNote: null,
    revokedAt: null,
    formerTokenHash: null,
    returnedNano: 0n,
    closedAt: null,
    strikesSince: null,
    firstUsedAt: null,
    returnDueAt: terms.expiresAt,
    version: 1,
    projectedVersion: 0,
    createdAt: now,
    updatedAt: now,
  });
}
