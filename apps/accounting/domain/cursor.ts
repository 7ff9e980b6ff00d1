/** A row of a list that is ordered by time and id, newest first. */
export interface Cursor {
  at: Date;
  id: string;
}

export function writeCursor({ at, id }: Cursor): string {
  return Buffer.from(JSON.stringify([at.getTime(), id])).toString('base64url');
}

/** null: no list gave out this cursor. */
export function readCursor(text: string): Cursor | null {
  try {
    const [atMs, id] = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as unknown[];
    if (typeof atMs !== 'number' || typeof id !== 'string' || id.includes('\0')) return null;
    const at = new Date(atMs);
    return Number.isNaN(at.getTime()) ? null : { at, id };
  } catch {
    return null;
  }
}

export interface Page<T> {
  data: T[];
  /** The cursor of the next page; null on the last one. */
  next_cursor: string | null;
}

/** Makes a page of at most `limit` rows out of up to `limit + 1`. The extra row shows that there is another page. */
export function pageOf<Row, T>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => Cursor,
  show: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    data: shown.map(show),
    next_cursor: rows.length > limit && last !== undefined ? writeCursor(cursorOf(last)) : null,
  };
}
