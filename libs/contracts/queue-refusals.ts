import { DaypassError } from './errors.js';

/** A lane's window is up to this much longer than its minute. Clients do not wait for longer than a minute. */
const WINDOW_SLACK_MS = 1_000;
const MINUTE_MS = 60_000;

/** `waitMs`: the estimated time until the call's turn. `patienceMs`: how much of it the call may wait. */
export function queueFull(waitMs: number, patienceMs = 0): DaypassError {
  const laterMs = Math.max(1_000, waitMs - patienceMs);
  return new DaypassError(
    'queue_full',
    "The account's rate limits are in full use, and this call's turn would come later than it may wait. Please retry.",
    {
      retryAfterMs: laterMs > MINUTE_MS && laterMs <= MINUTE_MS + WINDOW_SLACK_MS ? MINUTE_MS : laterMs,
    },
  );
}

export function largerThanLane(): DaypassError {
  return new DaypassError(
    'rate_limit_exceeded',
    "This call may use more than the account's rate limit allows in a whole minute, of tokens, images or sound: make it smaller.",
    {
      retry: false,
    },
  );
}

/** Why a call did not join the line of its lane; null: it did, or nobody waits for it any more. */
export function refusalAtLane(entered: { code: string; waitMs?: number }, patienceMs: number): DaypassError | null {
  if (entered.code === 'too_large') return largerThanLane();
  return entered.code === 'late' ? queueFull(entered.waitMs!, patienceMs) : null;
}
