import { describe, expect, it } from '@jest/globals';
import { FullKeys } from './full-keys.js';

const refusal = (need: number, waitMs: number) => ({ code: 'bytes', limit: 1_000, need, waitMs }) as const;

describe('keys that sent too many bytes', () => {
  it('are known for as long as Redis said, at most for a moment, and only for as many bytes', () => {
    const full = new FullKeys();
    full.remember('k', refusal(500, 3_000), 0);
    expect(full.refusalOf('k', 500, 1_000)).toEqual(refusal(500, 2_000));
    expect(full.refusalOf('k', 600, 1_000)).toEqual(refusal(600, 2_000));
    expect(full.refusalOf('k', 499, 1_000)).toBeUndefined();
    expect(full.refusalOf('other', 500, 1_000)).toBeUndefined();
    expect(full.refusalOf('k', 500, 3_000)).toBeUndefined();
    full.remember('k', refusal(500, 3_000_000), 0);
    expect(full.refusalOf('k', 500, 4_999)).toEqual(refusal(500, 2_995_001));
    // Somebody may have raised the limit.
    expect(full.refusalOf('k', 500, 5_000)).toBeUndefined();
  });

  it('are told where one request is larger than the whole limit', () => {
    const full = new FullKeys();
    full.remember('k', refusal(2_000, -1), 0);
    expect(full.refusalOf('k', 2_000, 4_000)).toEqual(refusal(2_000, -1));
    expect(full.refusalOf('k', 2_000, 5_000)).toBeUndefined();
  });

  it('are few: the oldest go first', () => {
    const full = new FullKeys();
    for (let index = 0; index < 10_001; index++) full.remember(`k${index}`, refusal(1, 3_000), 0);
    expect(full.refusalOf('k0', 1, 1)).toBeUndefined();
    expect(full.refusalOf('k1', 1, 1)).toBeDefined();
  });
});
