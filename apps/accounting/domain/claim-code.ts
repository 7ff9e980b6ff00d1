import type { CodeView } from '#libs/contracts/admin/claims.js';
import type { ClaimCode } from '../store/entities/claim-code.entity.js';

type Times = Pick<ClaimCode, 'usedAt' | 'voidedAt' | 'expiresAt'>;

export function codeStatus({ usedAt, voidedAt, expiresAt }: Times, now: Date): CodeView['status'] {
  if (usedAt !== null) return 'used';
  if (voidedAt !== null) return 'voided';
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'free';
}

/** A code as the admin API lists it, without the code itself. */
export function showCodeRow(code: ClaimCode, keyId: string | null, now: Date): CodeView {
  return {
    id: code.id,
    label: code.label,
    status: codeStatus(code, now),
    key: keyId,
    expires_at: code.expiresAt?.toISOString() ?? null,
    used_at: code.usedAt?.toISOString() ?? null,
    voided_at: code.voidedAt?.toISOString() ?? null,
    created_at: code.createdAt.toISOString(),
  };
}
