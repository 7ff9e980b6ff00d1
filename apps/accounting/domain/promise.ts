import { NANO_PER_USD, parseUsd } from '#libs/money/nano.js';

/** `overbook` has two decimals: its hundredths are exact. */
const HUNDREDTHS = 100n;

/** What the keys of a campaign may be promised together, nano-dollars. */
export function promiseLimit(budgetNano: bigint, overbook: number): bigint {
  return (budgetNano * BigInt(Math.round(overbook * Number(HUNDREDTHS)))) / HUNDREDTHS;
}

/**
 * What is promised: the budgets of all keys of the campaign, and what the operator absorbed for them. The budget of a
 * key that ended and returned the rest is what it spent. So this is what live keys may still spend and all that is spent.
 */
export interface Promised {
  promisedNano: bigint;
  limitNano: bigint;
}

export const covers = ({ promisedNano, limitNano }: Promised, keyNano: bigint): boolean =>
  promisedNano + keyNano <= limitNano;

/** So many further keys of this budget. */
export function keysLeft({ promisedNano, limitNano }: Promised, keyNano: bigint): number {
  const freeNano = limitNano - promisedNano;
  return freeNano <= 0n || keyNano <= 0n ? 0 : Number(freeNano / keyNano);
}

/** As Postgres computes with the amount in a link's terms. */
export const NANO_OF_USD = `(key->>'budget_usd')::numeric * ${NANO_PER_USD}`;
export const budgetOf = (key: { budget_usd: string }): bigint => parseUsd(key.budget_usd);
