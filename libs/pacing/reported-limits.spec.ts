import { describe, expect, it } from '@jest/globals';
import { readLimits } from './reported-limits.js';

const NOTHING = { rpm: 0, tpm: 0 };
const read = (
  headers: Record<string, string>,
  known = NOTHING,
  counted = { requests: 10, tokens: 1_000 },
  fixed = false,
) => readLimits(new Headers(headers), known, counted, fixed);

describe('what an answer tells of the limits', () => {
  it('is news where it differs from what was known, up or down', () => {
    const headers = { 'x-ratelimit-limit-requests': '500', 'x-ratelimit-limit-tokens': '200000' };
    expect(read(headers)).toMatchObject({ limits: { rpm: 500, tpm: 200_000 }, isNew: true });
    expect(read(headers, { rpm: 500, tpm: 200_000 })).toMatchObject({ isNew: false });
    expect(read(headers, { rpm: 600, tpm: 100_000 })).toMatchObject({
      limits: { rpm: 500, tpm: 200_000 },
      isNew: true,
    });
  });

  it('keeps what was known of the one that it does not tell', () => {
    expect(read({ 'x-ratelimit-limit-tokens': '9' }, { rpm: 5, tpm: 9 })).toMatchObject({
      limits: { rpm: 5, tpm: 9 },
      isNew: false,
    });
  });

  it('tells what it has counted and we have not, beyond a hundredth of the limit', () => {
    const headers = {
      'x-ratelimit-limit-tokens': '10000',
      'x-ratelimit-remaining-tokens': '5000',
      'x-ratelimit-limit-requests': '100',
      'x-ratelimit-remaining-requests': '90',
    };
    expect(read(headers)).toMatchObject({ used: { requests: 0, tokens: 5_000 }, isNew: true });
    expect(read(headers, { rpm: 100, tpm: 10_000 }, { requests: 10, tokens: 4_950 })).toMatchObject({
      used: { requests: 0, tokens: 0 },
      isNew: false,
    });
    // It has counted less than we: that loosens nothing.
    expect(read(headers, { rpm: 100, tpm: 10_000 }, { requests: 50, tokens: 9_000 })).toMatchObject({
      used: { requests: 0, tokens: 0 },
      isNew: false,
    });
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
    expect(read(headers as Record<string, string>, { rpm: 7, tpm: 8 })).toEqual({
      limits: { rpm: 7, tpm: 8 },
      used: { requests: 0, tokens: 0 },
      isNew: false,
    });
  });

  it.each(['120ms', '1s', '8.64s', '1m0s', 'soon', '', '-5s', '9'.repeat(50)])(
    'is of a minute where it is whole again after %j',
    (reset) => {
      expect(read({ 'x-ratelimit-limit-requests': '500', 'x-ratelimit-reset-requests': reset })).toMatchObject({
        limits: { rpm: 500 },
        isNew: true,
      });
    },
  );

  it('lies where it leaves more than the limit', () => {
    expect(
      read({ 'x-ratelimit-limit-tokens': '10', 'x-ratelimit-remaining-tokens': '500' }, { rpm: 0, tpm: 10 }),
    ).toMatchObject({
      used: { tokens: 0 },
      isNew: false,
    });
  });

  it('does not move limits that the operator fixed, but is counted', () => {
    const headers = { 'x-ratelimit-limit-tokens': '10000', 'x-ratelimit-remaining-tokens': '10' };
    expect(read(headers, NOTHING, { requests: 1, tokens: 9_990 }, true)).toMatchObject({ isNew: false });
    expect(read(headers, NOTHING, { requests: 1, tokens: 100 }, true)).toMatchObject({
      used: { tokens: 9_990 },
      isNew: true,
    });
  });
});
