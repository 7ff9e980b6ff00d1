/** Of ids that do not tell their time: a month of its own, in the default partition. */
export const NO_PERIOD = '1970-01-01';

const PLAUSIBLE_FROM_MS = Date.UTC(2024, 0, 1);
const PLAUSIBLE_TO_MS = Date.UTC(2100, 0, 1);

/**
 * The month that all bookings of one call lie in, as `YYYY-MM-01`. It follows from the request id alone (its first twelve
 * hex digits are milliseconds), so that the same booking always meets itself, whenever it comes again.
 */
export function periodOfRequest(requestId: string): string {
  const hex = /^req_([0-9a-f]{12})[0-9a-f]{20}$/.exec(requestId)?.[1];
  const ms = hex === undefined ? 0 : Number.parseInt(hex, 16);
  return ms >= PLAUSIBLE_FROM_MS && ms < PLAUSIBLE_TO_MS ? periodOfDate(new Date(ms)) : NO_PERIOD;
}

const DAY_MS = 86_400_000;

/** The UTC day since 1970 that a moment lies in. */
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS);

/** As `YYYY-MM-DD`. */
export const dateOfDay = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

export function periodOfDate(at: Date): string {
  return `${at.toISOString().slice(0, 7)}-01`;
}
