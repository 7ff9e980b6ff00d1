import { formatUsd } from '#libs/money/nano.js';
import type { Usage } from '../books/balance.repository.js';
import type { Key } from '../store/entities/key.entity.js';

/** `expired` is never stored: time does it. */
export type ShownStatus = Key['status'] | 'expired';

export function statusOf({ status, expiresAt }: Pick<Key, 'status' | 'expiresAt'>, now: Date): ShownStatus {
  return status === 'active' && expiresAt !== null && expiresAt <= now ? 'expired' : status;
}

/** A key as the admin API tells it; never its secret. */
export function showKey(key: Key, campaignSlug: string, { spentNano, heldNano }: Usage, now: Date) {
  return {
    id: key.id,
    prefix: key.prefix,
    label: key.label,
    campaign: campaignSlug,
    status: statusOf(key, now),
    status_note: key.statusNote,
    expires_at: key.expiresAt?.toISOString() ?? null,
    budget_usd: formatUsd(key.budgetNano),
    spent_usd: formatUsd(spentNano),
    held_usd: formatUsd(heldNano),
    available_usd: formatUsd(key.budgetNano - spentNano - heldNano),
    // Of a key that is over: what went back to its campaign, so that its budget is what it spent.
    returned_usd: formatUsd(key.returnedNano),
    limits: key.limits,
    models: key.models,
    moderation: key.moderation,
    created_at: key.createdAt.toISOString(),
    updated_at: key.updatedAt.toISOString(),
  };
}

export type KeyView = ReturnType<typeof showKey>;
/** With the virtual key itself: told once, when it is made. */
export type NewKeyView = KeyView & { key: string };
