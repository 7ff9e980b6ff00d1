/** Request ids without a time share this month. It lies in the default partition. */
export const NO_PERIOD = '1970-01-01';

const PLAUSIBLE_FROM_MS = Date.UTC(2024, 0, 1);
const PLAUSIBLE_TO_MS = Date.UTC(2100, 0, 1);

/**
 * The month that holds all bookings of one call, as `YYYY-MM-01`. It follows from the request id alone: its first
 * twelve hex digits are milliseconds. So a repeated booking always meets the first one.
 */
export function periodOfRequest(requestId: string): string {
  const hex = /^req_([0-9a-f]{12})[0-9a-f]{20}$/.exec(requestId)?.[1];
  const ms = hex === undefined ? 0 : Number.parseInt(hex, 16);
  if (ms < PLAUSIBLE_FROM_MS || ms >= PLAUSIBLE_TO_MS) return NO_PERIOD;
  // Most calls are of one day, and a day lies in one month.
  const day = dayOf(ms);
  if (day !== latest.day) latest = { day, period: periodOfDate(new Date(ms)) };
  return latest.period;
}

let latest = { day: Number.NaN, period: NO_PERIOD };

const DAY_MS = 86_400_000;

/** The UTC day of a moment, in days since 1970. */
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS);

/** As `YYYY-MM-DD`. */
export const dateOfDay = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

export function periodOfDate(at: Date): string {
  return `${at.toISOString().slice(0, 7)}-01`;
}
