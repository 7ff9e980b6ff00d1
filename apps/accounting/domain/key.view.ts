import type { KeyView } from '#libs/contracts/admin/answers.js';
import { formatUsd } from '#libs/money/nano.js';
import type { Balance } from './balance.js';
import type { Key } from '../store/entities/key.entity.js';

/** `expired` is never stored: it follows from the time. */
export type ShownStatus = Key['status'] | 'expired';

export function statusOf({ status, expiresAt }: Pick<Key, 'status' | 'expiresAt'>, now: Date): ShownStatus {
  return status === 'active' && expiresAt !== null && expiresAt <= now ? 'expired' : status;
}

/** A key as the admin API shows it, without its secret. */
export function showKey(
  key: Key,
  campaignSlug: string,
  { spentNano, heldNano }: Balance,
  { lastCallAt, strikes }: { lastCallAt: Date | null; strikes: number },
  now: Date,
): KeyView {
  return {
    id: key.id,
    prefix: key.prefix,
    label: key.label,
    campaign: campaignSlug,
    status: statusOf(key, now),
    status_note: key.statusNote,
    starts_at: key.startsAt?.toISOString() ?? null,
    expires_at: key.expiresAt?.toISOString() ?? null,
    // The key's time begins with its first call; null: `expires_at` was fixed from the begin.
    ttl_from_first_use_seconds: key.ttlFromUseSeconds,
    first_used_at: key.firstUsedAt?.toISOString() ?? null,
    budget_usd: formatUsd(key.budgetNano),
    spent_usd: formatUsd(spentNano),
    held_usd: formatUsd(heldNano),
    available_usd: formatUsd(key.budgetNano - spentNano - heldNano),
    // What an ended key returned to its campaign. Its budget is what it spent then.
    returned_usd: formatUsd(key.returnedNano),
    last_call_at: lastCallAt?.toISOString() ?? null,
    claimant: key.claimantId,
    link: key.linkId,
    strikes,
    limits: { ...key.limits, bytes_per_hour: key.limits.bytes_per_hour ?? 0 },
    models: key.models,
    moderation: key.moderation,
    created_at: key.createdAt.toISOString(),
    updated_at: key.updatedAt.toISOString(),
  };
}
