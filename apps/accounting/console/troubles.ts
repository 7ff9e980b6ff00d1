import type { LivingService } from './live.figures.js';

/** Postgres is usually a fraction of a second behind. */
const BOOKS_LAG_MS = 10_000;

export interface Trouble {
  what: string;
  text: string;
}

export const REDIS_AWAY: Trouble = { what: 'redis', text: 'Redis does not answer. No call comes in.' };
export const POSTGRES_AWAY: Trouble = {
  what: 'postgres',
  text: 'Postgres does not answer. Calls go on, and are booked when it is back.',
};

/** What does not work, as Redis shows it. */
export function troublesOf(services: readonly LivingService[], booksLagMs: number): Trouble[] {
  const away = services.filter(({ processes }) => processes === 0);
  const isClosed = services.some(({ processes, ready }) => processes > 0 && !ready);
  return [
    ...away.map(({ name }) => ({ what: name, text: `No process of ${name} runs.` })),
    ...(isClosed
      ? [{ what: 'recovery', text: 'Accounting compares Redis with the books. No call comes in until it is done.' }]
      : []),
    ...(booksLagMs > BOOKS_LAG_MS
      ? [{ what: 'books', text: `The books are ${Math.round(booksLagMs / 1_000)} s behind.` }]
      : []),
  ];
}
