import { NANO_PER_USD } from '#libs/money/nano.js';

/** Dollars as a number, for metrics only. */
export const signedUsd = (nano: bigint): number => Number(nano) / Number(NANO_PER_USD);
export const usd = (nano: bigint): number => Math.abs(signedUsd(nano));
