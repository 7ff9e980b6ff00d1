import { describe, expect, it } from '@jest/globals';
import { formatUsd, parseUsd } from './nano.js';

describe('nano-dollars', () => {
  it.each([
    ['0', 0n],
    ['1', 1_000_000_000n],
    ['0.000000001', 1n],
    ['12.5', 12_500_000_000n],
    ['9000000', 9_000_000_000_000_000n],
  ])('reads %s', (text, nano) => expect(parseUsd(text)).toBe(nano));

  it.each(['', '-1', '1e3', '1.0000000001', '.5', '5.', '1,5', ' 1', '9000000.000000001', '1234567890123456789'])(
    'refuses %p and says what to do',
    (text) => {
      expect(() => parseUsd(text)).toThrow(/decimal string|the most is/);
    },
  );

  it.each([
    [450_000n, '0.00045'],
    [12_500_000_000n, '12.50'],
    [-1n, '-0.000000001'],
    [0n, '0.00'],
  ])('writes %s', (nano, text) => expect(formatUsd(nano)).toBe(text));
});
