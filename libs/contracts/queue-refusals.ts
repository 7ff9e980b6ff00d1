import { DaypassError } from './errors.js';

/** `waitMs`: until the call's turn, as far as anybody knows; `patienceMs`: what of it the call may wait. */
export function queueFull(waitMs: number, patienceMs = 0): DaypassError {
  return new DaypassError('queue_full', "The account's rate limits are in full use, and this call's turn would come later than it may wait. Please retry.", {
    retryAfterMs: Math.max(1_000, waitMs - patienceMs),
  });
}
