import type { Outcome } from './arena.js';

/** How often calls ended in which way: as a line of figures, and each way but success once. */
export function tally(outcomes: readonly Outcome[]): { text: string; codes: string[] } {
  const ways = Map.groupBy(outcomes, ({ status, code }) =>
    status === 200 && code === null ? 'answered' : `${status} ${code}`,
  );
  const counts = [...ways].filter(([way]) => way !== 'answered').map(([way, { length }]) => `${length} × ${way}`);
  return {
    text: [`${outcomes.length} calls, ${ways.get('answered')?.length ?? 0} answered`, ...counts].join(', '),
    codes: [...ways.keys()].filter((way) => way !== 'answered').toSorted(),
  };
}
