/** Money is an integer number of nano-dollars (1e-9 USD). */

export const NANO_PER_USD = 1_000_000_000n;

/**
 * The largest amount Daypass takes: nine million dollars. Redis scripts compute in doubles, which are exact for
 * integers up to 2^53 nano-dollars (about 9.007 million dollars).
 */
export const MAX_AMOUNT_NANO = 9_000_000n * NANO_PER_USD;

const DECIMAL = /^(\d{1,18})(?:\.(\d{1,9}))?$/;

/**
 * Reads a decimal string of dollars: at most nine decimals, no sign and no exponent.
 * @throws RangeError that says what to do
 */
export function parseUsd(text: string): bigint {
  const match = DECIMAL.exec(text);
  if (!match)
    throw new RangeError(`not an amount: give dollars as a decimal string such as "2.50", with at most nine decimals`);
  const nano = BigInt(match[1]!) * NANO_PER_USD + BigInt((match[2] ?? '').padEnd(9, '0'));
  if (nano > MAX_AMOUNT_NANO) throw new RangeError(`too large: the most is ${formatUsd(MAX_AMOUNT_NANO)} dollars`);
  return nano;
}

/** Dollars as a decimal string: at least two decimals, no more than needed ("0.00045", "12.50"). */
export function formatUsd(nano: bigint): string {
  const sign = nano < 0n ? '-' : '';
  const absolute = nano < 0n ? -nano : nano;
  const decimals = (absolute % NANO_PER_USD)
    .toString()
    .padStart(9, '0')
    .replace(/0{1,7}$/, '');
  return `${sign}${absolute / NANO_PER_USD}.${decimals}`;
}
