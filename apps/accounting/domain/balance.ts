/** Nano-dollars that an account's calls have spent, and that its running calls hold. */
export interface Balance {
  spentNano: bigint;
  heldNano: bigint;
}

export const NO_BALANCE: Balance = { spentNano: 0n, heldNano: 0n };

/** With the budget that the balance counts against. */
export interface BudgetBalance extends Balance {
  budgetNano: bigint;
}
