const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

const counted = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? '' : 's'}`;

/** `24 hours`, `30 minutes`, `3 days`: the length of a time that somebody set. */
export function duration(seconds: number): string {
  const ms = seconds * SECOND_MS;
  if (ms >= 2 * DAY_MS && ms % DAY_MS === 0) return counted(ms / DAY_MS, 'day');
  if (ms >= 2 * DAY_MS)
    return `${counted(Math.floor(ms / DAY_MS), 'day')} ${counted(Math.round((ms % DAY_MS) / HOUR_MS), 'hour')}`;
  if (ms >= HOUR_MS && ms % HOUR_MS === 0) return counted(ms / HOUR_MS, 'hour');
  if (ms >= HOUR_MS) return `${Math.floor(ms / HOUR_MS)} h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)} min`;
  if (ms >= MINUTE_MS) return counted(Math.floor(ms / MINUTE_MS), 'minute');
  return counted(Math.max(0, Math.floor(ms / SECOND_MS)), 'second');
}

/** `in 21 hours`, `95 minutes ago`, `now`: one unit alone, rounded, so that it is never far off. */
export function relative(at: Date, now: Date): string {
  const ms = at.getTime() - now.getTime();
  const size = Math.abs(ms);
  if (size < SECOND_MS) return 'now';
  const [unit, unitMs] =
    size >= 2 * DAY_MS
      ? (['day', DAY_MS] as const)
      : size >= 3 * HOUR_MS
        ? (['hour', HOUR_MS] as const)
        : size >= MINUTE_MS
          ? (['minute', MINUTE_MS] as const)
          : (['second', SECOND_MS] as const);
  const words = counted(Math.round(size / unitMs), unit);
  return ms > 0 ? `in ${words}` : `${words} ago`;
}

/** `2 days 03:12:31`, `03:12:31` or `12:31`. */
export function countdown(ms: number): string {
  const left = Math.max(0, Math.ceil(ms / SECOND_MS));
  const two = (value: number): string => String(value).padStart(2, '0');
  const days = Math.floor(left / 86_400);
  const hours = Math.floor((left % 86_400) / 3_600);
  const rest = `${two(Math.floor((left % 3_600) / 60))}:${two(left % 60)}`;
  if (days > 0) return `${counted(days, 'day')} ${two(hours)}:${rest}`;
  return hours > 0 ? `${two(hours)}:${rest}` : rest;
}

/** `Fri 27 Nov, 14:02 CET`. The year stands there only where it is another. */
export function localTime(at: Date, now: Date, timeZone?: string): string {
  const wish: Intl.DateTimeFormatOptions = {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    ...(at.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' }),
    ...(timeZone === undefined ? {} : { timeZone }),
  };
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat('en-GB', wish).formatToParts(at).map(({ type, value }) => [type, value]),
  );
  const year = parts.year === undefined ? '' : ` ${parts.year}`;
  return `${parts.weekday} ${parts.day} ${parts.month}${year}, ${parts.hour}:${parts.minute} ${zone(at, timeZone)}`;
}

/** `2026-11-27 13:02:09 UTC`, for the title of a time. */
export const utcTime = (at: Date): string => `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** The zone as people of it write it: each locale knows the short names of its own zones only, and says `GMT+1` for others. */
function zone(at: Date, timeZone: string | undefined): string {
  const names = ['en-GB', 'en-US', 'en-AU', 'en-IN'].map(
    (locale) =>
      new Intl.DateTimeFormat(locale, { timeZoneName: 'short', ...(timeZone === undefined ? {} : { timeZone }) })
        .formatToParts(at)
        .find(({ type }) => type === 'timeZoneName')!.value,
  );
  return names.find((name) => !/^GMT[+-]/.test(name)) ?? names[0]!;
}
