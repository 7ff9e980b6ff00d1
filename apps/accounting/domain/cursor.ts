import type { Page } from '#libs/contracts/admin/answers.js';

/** A row of a list that is ordered by time and id, newest first. */
export interface Cursor {
  at: Date;
  id: string;
}

export function writeCursor({ at, id }: Cursor): string {
  return Buffer.from(JSON.stringify([at.getTime(), id])).toString('base64url');
}

/** null: no list by time gave out this cursor. */
export function readCursor(text: string): Cursor | null {
  const [atMs, id] = partsOf(text);
  if (typeof atMs !== 'number' || !isId(id)) return null;
  const at = new Date(atMs);
  return isStorable(at) ? { at, id } : null;
}

/** A row of a list that is ordered by a number and then by id, the largest first. */
export interface Rank {
  /** A whole number, as text: it may be larger than JSON's. */
  value: string;
  id: string;
}

export function writeRank(sort: string, { value, id }: Rank): string {
  return Buffer.from(JSON.stringify([sort, value, id])).toString('base64url');
}

/** null: no list with this order gave out the cursor. */
export function readRank(text: string, sort: string): Rank | null {
  const [given, value, id] = partsOf(text);
  return given === sort && typeof value === 'string' && /^-?\d{1,18}$/.test(value) && isId(id) ? { value, id } : null;
}

function partsOf(text: string): unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    return Array.isArray(parts) ? parts : [];
  } catch {
    return [];
  }
}

const isId = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');

/** Postgres takes a wider range than the text of a JavaScript date has years for. */
function isStorable(at: Date): boolean {
  return at.getTime() >= Date.UTC(1970, 0, 1) && at.getTime() < Date.UTC(10_000, 0, 1);
}

/** Makes a page of at most `limit` rows out of up to `limit + 1`. The extra row shows that there is another page. */
export function pageOf<Row, T>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => Cursor,
  show: (row: Row) => T,
): Page<T> {
  return cutPage(rows, limit, (row) => writeCursor(cursorOf(row)), show);
}

/** The same, with a cursor as text. */
export function cutPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => string,
  show: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { data: shown.map(show), next_cursor: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}
