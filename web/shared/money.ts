/** Money comes as decimal strings of dollars, and is counted in nano-dollars. No float is ever in between. */
const NANO_DIGITS = 9;
const FORM = /^(-?)(\d+)(?:\.(\d{1,9}))?$/;

/** @throws where it is no decimal string */
export function nanoOf(usd: string): bigint {
  const [, sign, whole, fraction = ''] = FORM.exec(usd) ?? [];
  if (whole === undefined) throw new Error(`not an amount: ${usd.slice(0, 40)}`);
  const nano = BigInt(whole + fraction.padEnd(NANO_DIGITS, '0'));
  return sign === '-' ? -nano : nano;
}

/**
 * `$0.4963`: at least two decimals and at most `decimals`. The rest is cut off, so that nobody reads of more than there
 * is. What is too small to show is `<$0.0001`.
 */
export function showUsd(usd: string, decimals = 4): string {
  const nano = nanoOf(usd);
  const sign = nano < 0n ? '-' : '';
  const digits = String(nano < 0n ? -nano : nano).padStart(NANO_DIGITS + 1, '0');
  const whole = digits.slice(0, -NANO_DIGITS);
  const fraction = digits.slice(-NANO_DIGITS, -NANO_DIGITS + decimals || undefined);
  if (nano !== 0n && whole === '0' && /^0*$/.test(fraction)) return `<${sign}$0.${'1'.padStart(decimals, '0')}`;
  const shown = fraction.replace(/0+$/, '').padEnd(2, '0');
  return `${sign}$${whole.replaceAll(/\B(?=(\d{3})+$)/g, ',')}.${shown}`;
}

/** What share `part` has of `whole`, in whole percent from 0 to 100, rounded down. */
export function percentOf(part: string, whole: string): number {
  const all = nanoOf(whole);
  const some = nanoOf(part);
  if (all <= 0n || some <= 0n) return 0;
  return some >= all ? 100 : Number((some * 100n) / all);
}
