import { describe, expect, it } from '@jest/globals';
import { formatReset, limitHeaders } from './limit-headers.js';

describe('limit headers', () => {
  it.each([
    [120, '120ms'],
    [1_000, '1s'],
    [59_001, '1m0s'],
    [60_000, '1m0s'],
    [61_000, '1m1s'],
  ])('write %d ms as OpenAI does', (ms, text) => expect(formatReset(ms)).toBe(text));

  it('leave out a limit that the key does not have', () => {
    expect(limitHeaders({ rpm: 0, tpm: 1000, requests: 5, tokens: 1500 })).toEqual({
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '1m0s',
    });
  });
});
