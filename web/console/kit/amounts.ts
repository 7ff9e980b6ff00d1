import { nanoOf, showUsd as show } from '../../shared/money.ts';

const NANO_PER_USD = 1_000_000_000n;
/** As the API takes it: no sign, at most nine decimals. */
const AMOUNT = /^\d{1,7}(\.\d{1,9})?$/;

export const isAmount = (text: string): boolean => AMOUNT.test(text.trim());
export const nanoOfAmount = (text: string): bigint => (isAmount(text) ? nanoOf(text.trim()) : 0n);

/** As the API takes it, with two to nine decimals. */
export function writeNano(nano: bigint): string {
  const size = nano < 0n ? -nano : nano;
  const part = String(size % NANO_PER_USD).padStart(9, '0');
  return `${nano < 0n ? '-' : ''}${size / NANO_PER_USD}.${part.slice(0, 2)}${part.slice(2).replace(/0+$/, '')}`;
}

/** For people: cents, and four decimals below a dollar. */
export function showUsd(usd: string): string {
  const nano = nanoOf(usd);
  return show(usd, nano >= NANO_PER_USD || nano <= -NANO_PER_USD ? 2 : 4);
}
