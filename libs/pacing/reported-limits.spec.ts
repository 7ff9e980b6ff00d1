import { describe, expect, it } from '@jest/globals';
import { isUsedUp, readLimits } from './reported-limits.js';

const read = (headers: Record<string, string>, counted = { requests: 10, tokens: 1_000 }) =>
  readLimits(new Headers(headers), counted);

describe('what an answer tells of the limits', () => {
  it('is both of them, or the one that it tells', () => {
    expect(read({ 'x-ratelimit-limit-requests': '500', 'x-ratelimit-limit-tokens': '200000' })).toEqual({
      limits: { rpm: 500, tpm: 200_000 },
      used: { requests: 0, tokens: 0 },
    });
    expect(read({ 'x-ratelimit-limit-tokens': '9' })).toMatchObject({ limits: { rpm: 0, tpm: 9 } });
  });

  it('tells what it has counted and we have not, beyond a hundredth of the limit', () => {
    const headers = {
      'x-ratelimit-limit-tokens': '10000',
      'x-ratelimit-remaining-tokens': '5000',
      'x-ratelimit-limit-requests': '100',
      'x-ratelimit-remaining-requests': '90',
    };
    expect(read(headers)).toMatchObject({ used: { requests: 0, tokens: 5_000 } });
    expect(read(headers, { requests: 10, tokens: 4_950 })).toMatchObject({ used: { requests: 0, tokens: 0 } });
    // It has counted less than we: that loosens nothing.
    expect(read(headers, { requests: 50, tokens: 9_000 })).toMatchObject({ used: { requests: 0, tokens: 0 } });
  });

  it.each([
    ['nothing', {}],
    ['words', { 'x-ratelimit-limit-requests': 'many', 'x-ratelimit-limit-tokens': 'NaN' }],
    [
      'negative numbers',
      { 'x-ratelimit-limit-requests': '-5', 'x-ratelimit-remaining-tokens': '-1', 'x-ratelimit-limit-tokens': '-1' },
    ],
    ['zero', { 'x-ratelimit-limit-requests': '0', 'x-ratelimit-limit-tokens': '0' }],
    ['fractions', { 'x-ratelimit-limit-requests': '1.5', 'x-ratelimit-limit-tokens': '1e9' }],
    ['absurd numbers', { 'x-ratelimit-limit-requests': '9'.repeat(40), 'x-ratelimit-limit-tokens': '9999999999999' }],
    ['a remainder without a limit', { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-remaining-requests': '0' }],
    [
      'the limit of a day',
      {
        'x-ratelimit-limit-requests': '200',
        'x-ratelimit-remaining-requests': '100',
        'x-ratelimit-reset-requests': '7m12s',
      },
    ],
    ['the limit of many hours', { 'x-ratelimit-limit-tokens': '200', 'x-ratelimit-reset-tokens': '23h18m29.144s' }],
    ['nothing left of nothing', { 'x-ratelimit-limit-tokens': '', 'x-ratelimit-remaining-tokens': '' }],
  ])('is nothing where it tells %s', (_, headers) => {
    expect(read(headers as Record<string, string>)).toEqual({
      limits: { rpm: 0, tpm: 0 },
      used: { requests: 0, tokens: 0 },
    });
  });

  it.each(['120ms', '1s', '8.64s', '1m0s', 'soon', '', '-5s', '9'.repeat(50)])(
    'is of a minute where it is whole again after %j',
    (reset) => {
      expect(read({ 'x-ratelimit-limit-requests': '500', 'x-ratelimit-reset-requests': reset })).toMatchObject({
        limits: { rpm: 500 },
      });
    },
  );

  it('lies where it leaves more than the limit', () => {
    expect(
      read({ 'x-ratelimit-limit-tokens': '10', 'x-ratelimit-remaining-tokens': '500' }, { requests: 1, tokens: 1 }),
    ).toMatchObject({ used: { tokens: 0 } });
  });

  it('is that nothing is left, where it says so of one limit', () => {
    expect(isUsedUp(new Headers({ 'x-ratelimit-remaining-tokens': '0' }))).toBe(true);
    expect(isUsedUp(new Headers({ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-limit-requests': '5' }))).toBe(
      true,
    );
    expect(isUsedUp(new Headers({ 'x-ratelimit-remaining-tokens': '1' }))).toBe(false);
    expect(isUsedUp(new Headers())).toBe(false);
  });
});
