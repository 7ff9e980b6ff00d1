import { DaypassError } from '#libs/contracts/errors.js';

const MAX_WAIT_MS = 600_000;

/**
 * How long the visitor is willing to wait for a turn, in milliseconds.
 * @throws DaypassError when it is no whole number
 */
export function maxWaitOf(header: string | string[] | undefined, defaultMs: number): number {
  if (header === undefined) return defaultMs;
  const text = String(header);
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value > MAX_WAIT_MS) {
    throw new DaypassError(
      'invalid_request',
      `The header x-daypass-max-wait-ms must be a whole number of milliseconds from 0 to ${MAX_WAIT_MS}.`,
      {
        param: 'x-daypass-max-wait-ms',
      },
    );
  }
  return value;
}
