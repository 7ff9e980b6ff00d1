/** Nano-dollars that an account's calls have spent, that its running calls hold, and that the operator absorbed. */
export interface Balance {
  spentNano: bigint;
  heldNano: bigint;
  /** What calls cost beyond their holds. It counts against the budgets of campaigns and of the operator. */
  absorbedNano: bigint;
}

export const NO_BALANCE: Balance = { spentNano: 0n, heldNano: 0n, absorbedNano: 0n };

/** With the budget that the balance counts against. */
export interface BudgetBalance extends Balance {
  budgetNano: bigint;
}
