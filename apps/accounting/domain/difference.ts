import { formatUsd } from '#libs/money/nano.js';
import type { BudgetBalance } from './balance.js';

/** One balance that differs between Redis and the ledger. */
export interface Difference {
  /** The id of a key or a campaign. */
  id: string;
  field: 'budget_usd' | 'spent_usd' | 'held_usd' | 'absorbed_usd';
  ledger: string;
  redis: string;
}

const FIELDS = {
  budget_usd: 'budgetNano',
  spent_usd: 'spentNano',
  held_usd: 'heldNano',
  absorbed_usd: 'absorbedNano',
} as const;

export function differencesOf(id: string, ledger: BudgetBalance, redis: BudgetBalance): Difference[] {
  return (Object.keys(FIELDS) as (keyof typeof FIELDS)[])
    .filter((field) => ledger[FIELDS[field]] !== redis[FIELDS[field]])
    .map((field) => ({ id, field, ledger: formatUsd(ledger[FIELDS[field]]), redis: formatUsd(redis[FIELDS[field]]) }));
}
