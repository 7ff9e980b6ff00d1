import { describe, expect, it } from '@jest/globals';
import { pageOf, readCursor, writeCursor } from './cursor.js';

describe('a cursor', () => {
  it('comes back as it was given out', () => {
    const cursor = { at: new Date('2026-11-23T01:02:03.004Z'), id: 'key_1' };
    expect(readCursor(writeCursor(cursor))).toEqual(cursor);
  });

  it.each([
    '',
    'abc',
    'e30',
    Buffer.from('[1]').toString('base64url'),
    Buffer.from('[1e99,"a"]').toString('base64url'),
    Buffer.from('[1,"a\\u0000"]').toString('base64url'),
  ])("that no list gave out is refused: '%s'", (text) => {
    expect(readCursor(text)).toBeNull();
  });
});

describe('a page', () => {
  const rows = [3, 2, 1].map((n) => ({ at: new Date(n), id: `r${n}` }));
  const page = (limit: number) =>
    pageOf(
      rows,
      limit,
      (row) => row,
      ({ id }) => id,
    );

  it('with a row too many leads on from its last one', () => {
    expect(page(2)).toEqual({ data: ['r3', 'r2'], next_cursor: writeCursor(rows[1]!) });
  });

  it('with no row too many is the last', () => {
    expect(page(3)).toEqual({ data: ['r3', 'r2', 'r1'], next_cursor: null });
  });
});
