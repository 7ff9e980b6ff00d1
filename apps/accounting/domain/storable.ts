/**
 * The value with what Postgres' text and jsonb cannot hold (the zero character, halves of surrogate pairs) replaced.
 * Otherwise one such character would stop a whole batch of bookings.
 */
export function storable<T>(value: T): T {
  if (typeof value === 'string') return value.toWellFormed().replaceAll('\0', '\uFFFD') as T;
  if (Array.isArray(value)) return value.map(storable) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storable(name), storable(inner)])) as T;
}
