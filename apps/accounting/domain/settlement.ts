import type { Usage } from '../books/balance.repository.js';
import type { Key } from '../store/entities/key.entity.js';

/** Calls end, and their bookings arrive, within seconds. */
const RUNNING_PAUSE_MS = 5_000;
/** A correction may make a closed key unspent again: it is looked at after this pause, then ever more rarely. */
const CLOSED_PAUSE_MIN_MS = 60_000;
const CLOSED_PAUSE_MAX_MS = 24 * 3_600_000;
/** Usage reports come within days: none corrects a call after so long. */
const CLOSED_WATCH_MS = 30 * 24 * 3_600_000;

/** What to do about a key that is due. */
export interface Settlement {
  /** Goes back to the campaign. */
  returnNano: bigint;
  /** Since when nothing runs and nothing is left; null: not yet. */
  closedAt: Date | null;
  /** When to look again; null: never. */
  settleAt: Date | null;
}

type Terms = Pick<Key, 'status' | 'expiresAt' | 'budgetNano' | 'closedAt' | 'version' | 'projectedVersion'>;

export const isOver = ({ status, expiresAt }: Pick<Key, 'status' | 'expiresAt'>, now: Date): boolean =>
  status === 'revoked' || (expiresAt !== null && expiresAt <= now);

/**
 * What of its budget a key gives back: all that its calls did not spend, once it is over, Redis lets no call in any more,
 * and the ledger and Redis agree that none runs. `booked` is the ledger's word, `live` is Redis'.
 */
export function settlementOf(key: Terms, booked: Usage, live: Usage, now: Date): Settlement {
  if (!isOver(key, now)) return { returnNano: 0n, closedAt: key.closedAt, settleAt: key.expiresAt };
  const inForce = key.projectedVersion >= key.version;
  const atRest = booked.heldNano === 0n && live.heldNano === 0n && booked.spentNano === live.spentNano;
  if (!inForce || !atRest) return { returnNano: 0n, closedAt: key.closedAt, settleAt: after(now, RUNNING_PAUSE_MS) };
  const closedAt = key.closedAt ?? now;
  const unspentNano = key.budgetNano - booked.spentNano;
  return { returnNano: unspentNano > 0n ? unspentNano : 0n, closedAt, settleAt: nextLook(closedAt, now) };
}

export const retryAt = (now: Date): Date => after(now, RUNNING_PAUSE_MS);

/** After as long again as it has been closed, so that a key costs some forty looks in all. */
function nextLook(closedAt: Date, now: Date): Date | null {
  const closedMs = now.getTime() - closedAt.getTime();
  if (closedMs > CLOSED_WATCH_MS) return null;
  return after(now, Math.min(Math.max(closedMs, CLOSED_PAUSE_MIN_MS), CLOSED_PAUSE_MAX_MS));
}

const after = (at: Date, ms: number): Date => new Date(at.getTime() + ms);
