import { describe, expect, it } from '@jest/globals';
import { changedTerms, patchLimits, strangerAmong, termsOf } from './key-terms.js';
import { statusOf } from './key.view.js';

const now = new Date('2026-11-23T00:00:00Z');
const campaign = { budgetNano: 10n, keyDefaults: {} };

describe('the terms of a key', () => {
  it("fall back to the campaign's budget, no end and no limits", () => {
    expect(termsOf({}, campaign, now)).toEqual({
      budgetNano: 10n,
      expiresAt: null,
      startsAt: null,
      ttlFromUseSeconds: null,
      limits: { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 0 },
    });
  });

  it("fall back to the campaign's defaults first, field by field", () => {
    const keyDefaults = { budget_usd: '0.50', ttl_seconds: 60, limits: { rpm: 3, tpm: 4 } };
    expect(termsOf({ limits: { tpm: 9 } }, { ...campaign, keyDefaults }, now)).toEqual({
      budgetNano: 500_000_000n,
      expiresAt: new Date('2026-11-23T00:01:00Z'),
      startsAt: null,
      ttlFromUseSeconds: null,
      limits: { rpm: 3, tpm: 9, concurrent: 0, bytes_per_hour: 0 },
    });
  });

  it('are those of the request, a budget of nothing included', () => {
    expect(
      termsOf(
        { budget_usd: 0n, limits: { rpm: 0 } },
        { ...campaign, keyDefaults: { budget_usd: '1', limits: { rpm: 3 } } },
        now,
      ),
    ).toMatchObject({
      budgetNano: 0n,
      limits: { rpm: 0 },
    });
  });
});

describe('the time of a new key', () => {
  const start = new Date('2026-11-24T09:00:00Z');

  it('begins with its first call where the request or the campaign says so', () => {
    const asDefault = { ...campaign, keyDefaults: { ttl_seconds: 60, ttl_from: 'first_use' as const } };
    const pending = { expiresAt: null, ttlFromUseSeconds: 60 };
    expect(termsOf({}, asDefault, now)).toMatchObject(pending);
    expect(termsOf({ ttl_seconds: 60, ttl_from: 'first_use' }, campaign, now)).toMatchObject(pending);
    expect(termsOf({ ttl_from: 'creation' }, asDefault, now)).toMatchObject({
      expiresAt: new Date('2026-11-23T00:01:00Z'),
      ttlFromUseSeconds: null,
    });
    expect(termsOf({ ttl_from: 'first_use' }, campaign, now)).toMatchObject({
      expiresAt: null,
      ttlFromUseSeconds: null,
    });
  });

  it('counts from its start, where that is still to come', () => {
    const terms = { ttl_seconds: 60, starts_at: start };
    expect(termsOf(terms, campaign, now).expiresAt).toEqual(new Date('2026-11-24T09:01:00Z'));
    expect(termsOf({ ...terms, starts_at: new Date(0) }, campaign, now).expiresAt).toEqual(
      new Date('2026-11-23T00:01:00Z'),
    );
  });
});

describe('a changed limit', () => {
  const current = { rpm: 5, tpm: 6, concurrent: 7, bytes_per_hour: 0 };
  const defaults = { limits: { rpm: 1 } };

  it.each([
    [undefined, current],
    [{ tpm: 9 }, { ...current, tpm: 9 }],
    [
      { rpm: null, tpm: null },
      { rpm: 1, tpm: 0, concurrent: 7, bytes_per_hour: 0 },
    ],
    [null, { rpm: 1, tpm: 0, concurrent: 0, bytes_per_hour: 0 }],
  ])('by %j keeps the others; null brings the default of the campaign back', (patch, limits) => {
    expect(patchLimits(patch, current, defaults)).toEqual(limits);
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

describe("a change of a key's time and budget", () => {
  const at = new Date('2026-11-23T12:00:00Z');
  const [past, future] = [new Date(at.getTime() - 60_000), new Date(at.getTime() + 60_000)];
  const open = {
    status: 'active' as const,
    expiresAt: future,
    budgetNano: 100n,
    startsAt: null,
    ttlFromUseSeconds: null,
    firstUsedAt: null,
    returnedNano: 0n,
    closedAt: null,
    returnDueAt: future,
  };
  const closed = {
    status: 'active' as const,
    expiresAt: past,
    startsAt: null,
    ttlFromUseSeconds: null,
    firstUsedAt: null,
    budgetNano: 40n,
    returnedNano: 60n,
    closedAt: past,
    returnDueAt: future,
  };

  it('leaves what it does not name', () => {
    for (const key of [open, closed]) {
      const { status: _, firstUsedAt: __, ...terms } = key;
      expect(changedTerms({}, key, at)).toEqual(terms);
    }
  });

  it('makes it due at its new end', () => {
    expect(changedTerms({ expires_at: null }, open, at)).toMatchObject({ expiresAt: null, returnDueAt: null });
    expect(changedTerms({ ttl_seconds: 1 }, open, at)).toMatchObject({ returnDueAt: new Date(at.getTime() + 1_000) });
    expect(changedTerms({ expires_at: past }, open, at)).toMatchObject({ returnDueAt: past, budgetNano: 100n });
  });

  it('gives an extended key again what went back, or the budget that is named', () => {
    const extended = {
      expiresAt: future,
      startsAt: null,
      ttlFromUseSeconds: null,
      closedAt: null,
      returnedNano: 0n,
      returnDueAt: future,
    };
    expect(changedTerms({ expires_at: future }, closed, at)).toEqual({ ...extended, budgetNano: 100n });
    expect(changedTerms({ expires_at: future, budget_usd: 70n }, closed, at)).toEqual({ ...extended, budgetNano: 70n });
    expect(changedTerms({ ttl_seconds: null }, closed, at)).toMatchObject({
      expiresAt: null,
      budgetNano: 100n,
      closedAt: null,
    });
  });

  it('refuses a budget for a key whose time is over and stays so', () => {
    expect(changedTerms({ budget_usd: 70n }, closed, at)).toBe('over');
    expect(changedTerms({ budget_usd: 70n, expires_at: past }, open, at)).toBe('over');
    // Redis' clock, which may be ahead of this one, closed it.
    expect(changedTerms({ budget_usd: 70n }, { ...closed, expiresAt: future }, at)).toBe('over');
  });

  it('leaves a key that waits for its first call to wait, with another time to live', () => {
    const waiting = { ...open, expiresAt: null, ttlFromUseSeconds: 60, returnDueAt: null };
    expect(changedTerms({ ttl_seconds: 90 }, waiting, at)).toMatchObject({ expiresAt: null, ttlFromUseSeconds: 90 });
    expect(changedTerms({ expires_at: future }, waiting, at)).toMatchObject({
      expiresAt: future,
      ttlFromUseSeconds: null,
    });
    expect(changedTerms({ ttl_seconds: null }, waiting, at)).toMatchObject({
      expiresAt: null,
      ttlFromUseSeconds: null,
    });
    // Its time has begun: a new one counts from now, as of every key.
    expect(changedTerms({ ttl_seconds: 90 }, { ...waiting, firstUsedAt: past, expiresAt: future }, at)).toMatchObject({
      expiresAt: new Date(at.getTime() + 90_000),
      ttlFromUseSeconds: null,
    });
  });

  it('moves its start, and refuses a key that would end before it starts', () => {
    expect(changedTerms({ starts_at: at }, open, at)).toMatchObject({ startsAt: at, expiresAt: future });
    expect(changedTerms({ starts_at: null }, { ...open, startsAt: at }, at)).toMatchObject({ startsAt: null });
    expect(changedTerms({ starts_at: future }, open, at)).toBe('never');
    expect(changedTerms({ expires_at: past }, { ...open, startsAt: at }, at)).toBe('never');
    expect(changedTerms({ ttl_seconds: 60 }, { ...open, startsAt: future }, at)).toMatchObject({
      expiresAt: new Date(future.getTime() + 60_000),
    });
  });
});
