/** Matches JSON that may escape what Postgres' text and jsonb cannot hold. It also matches whole surrogate pairs. */
const SUSPECT = /\\u(?:0000|d[89a-f])/i;

/**
 * Replaces what Postgres' text and jsonb cannot hold: the zero character and halves of surrogate pairs. One such
 * character would stop a whole batch of bookings.
 */
export function storable<T>(value: T): T {
  if (typeof value === 'string') return value.toWellFormed().replaceAll('\0', '\uFFFD') as T;
  if (Array.isArray(value)) return value.map(storable) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storable(name), storable(inner)])) as T;
}

/** JSON of the storable value. */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value);
  return SUSPECT.test(text) ? JSON.stringify(storable(value)) : text;
}

/** Parses JSON into a storable value. @throws SyntaxError */
export function parseStorable(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return SUSPECT.test(text) ? storable(value) : value;
}
