import { formatUsd } from '#libs/money/nano.js';

export interface Balance {
  budgetNano: bigint;
  spentNano: bigint;
  heldNano: bigint;
}

/** One balance that Redis and Postgres do not agree on. */
export interface Difference {
  /** The key's or the campaign's. */
  id: string;
  field: 'budget_usd' | 'spent_usd' | 'held_usd';
  ledger: string;
  redis: string;
}

const FIELDS = { budget_usd: 'budgetNano', spent_usd: 'spentNano', held_usd: 'heldNano' } as const;

export function differencesOf(id: string, ledger: Balance, redis: Balance): Difference[] {
  return (Object.keys(FIELDS) as (keyof typeof FIELDS)[])
    .filter((field) => ledger[FIELDS[field]] !== redis[FIELDS[field]])
    .map((field) => ({ id, field, ledger: formatUsd(ledger[FIELDS[field]]), redis: formatUsd(redis[FIELDS[field]]) }));
}
