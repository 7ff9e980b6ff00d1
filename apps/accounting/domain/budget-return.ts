import type { Balance as WholeBalance } from './balance.js';
import type { Key } from '../store/entities/key.entity.js';

/** Calls end within seconds, and so do their bookings arrive. */
const RUNNING_PAUSE_MS = 5_000;
/** A correction may free budget of a closed key again. Accounting checks after this pause, then ever more rarely. */
const CLOSED_PAUSE_MIN_MS = 60_000;
const CLOSED_PAUSE_MAX_MS = 24 * 3_600_000;
/** Usage reports come within days. None corrects a call after so long. */
const CLOSED_WATCH_MS = 30 * 24 * 3_600_000;

type Balance = Pick<WholeBalance, 'spentNano' | 'heldNano'>;

/** What a due key returns to its campaign, and when its next check is due. */
export interface BudgetReturn {
  returnNano: bigint;
  /** Since then no call runs and no budget is left; null: not yet. */
  closedAt: Date | null;
  /** null: never again. */
  returnDueAt: Date | null;
}

type Terms = Pick<Key, 'status' | 'expiresAt' | 'budgetNano' | 'closedAt' | 'version' | 'projectedVersion'>;

export const isOver = ({ status, expiresAt }: Pick<Key, 'status' | 'expiresAt'>, now: Date): boolean =>
  status === 'revoked' || (expiresAt !== null && expiresAt <= now);

/**
 * A key returns what its calls did not spend, on three conditions: its time is over; Redis has that change and lets no
 * call in; the ledger (`booked`) and Redis (`live`) agree that no call runs.
 */
export function budgetReturnOf(key: Terms, booked: Balance, live: Balance, now: Date): BudgetReturn {
  if (!isOver(key, now)) return { returnNano: 0n, closedAt: key.closedAt, returnDueAt: key.expiresAt };
  const inForce = key.projectedVersion >= key.version;
  const atRest = booked.heldNano === 0n && live.heldNano === 0n && booked.spentNano === live.spentNano;
  if (!inForce || !atRest) return { returnNano: 0n, closedAt: key.closedAt, returnDueAt: after(now, RUNNING_PAUSE_MS) };
  const closedAt = key.closedAt ?? now;
  const unspentNano = key.budgetNano - booked.spentNano;
  return { returnNano: unspentNano > 0n ? unspentNano : 0n, closedAt, returnDueAt: nextCheck(closedAt, now) };
}

export const retryAt = (now: Date): Date => after(now, RUNNING_PAUSE_MS);

/** The pause doubles with each check, so that a key costs some forty checks in all. */
function nextCheck(closedAt: Date, now: Date): Date | null {
  const closedMs = now.getTime() - closedAt.getTime();
  if (closedMs > CLOSED_WATCH_MS) return null;
  return after(now, Math.min(Math.max(closedMs, CLOSED_PAUSE_MIN_MS), CLOSED_PAUSE_MAX_MS));
}

const after = (at: Date, ms: number): Date => new Date(at.getTime() + ms);
