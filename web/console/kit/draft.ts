import { useState } from 'react';

/** A form's values, changed field by field. */
export function useDraft<T extends object>(begin: T) {
  const [draft, setDraft] = useState(begin);
  const set = <K extends keyof T>(field: K, value: T[K]): void => setDraft((before) => ({ ...before, [field]: value }));
  const merge = (change: Partial<T>): void => setDraft((before) => ({ ...before, ...change }));
  return { draft, set, merge };
}

/** A text field's value for the API: empty is null. */
export const orNull = (text: string): string | null => text.trim() || null;

/** A `datetime-local` value, which is in the reader's zone, as the API takes it. */
export const timeOf = (local: string): string | null => (local === '' ? null : new Date(local).toISOString());

/** A time of the API as a `datetime-local` field shows it. */
export function localOf(iso: string | null): string {
  if (iso === null) return '';
  const time = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}`;
}

export const zoneName = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Whole numbers only, within the bounds; null where the text is none. */
export function wholeOf(text: string, least: number, most: number): number | null {
  if (!/^\d{1,9}$/.test(text.trim())) return null;
  const number = Number(text);
  return number >= least && number <= most ? number : null;
}
