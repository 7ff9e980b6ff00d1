import { describe, expect, it } from '@jest/globals';
import { strangerAmong, termsOf } from './key-terms.js';
import { statusOf } from './key.view.js';

const now = new Date('2026-11-23T00:00:00Z');
const campaign = { budgetNano: 10n, keyDefaults: {} };

describe('the terms of a key', () => {
  it("fall back to the campaign's budget, no end and no limits", () => {
    expect(termsOf({}, campaign, now)).toEqual({ budgetNano: 10n, expiresAt: null, limits: { rpm: 0, tpm: 0, concurrent: 0 } });
  });

  it("fall back to the campaign's defaults first, field by field", () => {
    const keyDefaults = { budget_usd: '0.50', ttl_seconds: 60, limits: { rpm: 3, tpm: 4 } };
    expect(termsOf({ limits: { tpm: 9 } }, { ...campaign, keyDefaults }, now)).toEqual({
      budgetNano: 500_000_000n,
      expiresAt: new Date('2026-11-23T00:01:00Z'),
      limits: { rpm: 3, tpm: 9, concurrent: 0 },
    });
  });

  it('are what was said, a budget of nothing included', () => {
    expect(termsOf({ budget_usd: 0n, limits: { rpm: 0 } }, { ...campaign, keyDefaults: { budget_usd: '1', limits: { rpm: 3 } } }, now)).toMatchObject({
      budgetNano: 0n,
      limits: { rpm: 0 },
    });
  });
});

it("finds the model that is not the campaign's", () => {
  expect(strangerAmong(['a', 'x'], ['a', 'b'])).toBe('x');
  expect(strangerAmong(['b'], ['a', 'b'])).toBeUndefined();
  expect(strangerAmong(null, [])).toBeUndefined();
});

describe('the status of a key', () => {
  it.each([
    ['active', null, 'active'],
    ['active', new Date('2026-11-23T00:00:01Z'), 'active'],
    ['active', now, 'expired'],
    ['suspended', new Date(0), 'suspended'],
    ['revoked', new Date(0), 'revoked'],
  ] as const)('%s with its end at %p is shown as %s', (status, expiresAt, shown) => {
    expect(statusOf({ status, expiresAt }, now)).toBe(shown);
  });
});
