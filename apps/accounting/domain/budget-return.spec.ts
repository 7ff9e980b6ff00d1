import { describe, expect, it } from '@jest/globals';
import { budgetReturnOf } from './budget-return.js';

const now = new Date('2026-11-23T12:00:00Z');
const ago = (ms: number): Date => new Date(now.getTime() - ms);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const revoked = {
  status: 'revoked' as const,
  expiresAt: null,
  budgetNano: 100n,
  closedAt: null,
  version: 3,
  projectedVersion: 3,
};
const used = { spentNano: 40n, heldNano: 0n };

describe('a key that is due', () => {
  it('gives back what it did not spend, once it is revoked', () => {
    expect(budgetReturnOf(revoked, used, used, now)).toEqual({
      returnNano: 60n,
      closedAt: now,
      returnDueAt: new Date(now.getTime() + MINUTE_MS),
    });
  });

  it.each(['active', 'suspended'] as const)('gives it back once its time is over, also where it is %s', (status) => {
    expect(budgetReturnOf({ ...revoked, status, expiresAt: now }, used, used, now).returnNano).toBe(60n);
  });

  it('keeps it while its time lasts, and is due at its end', () => {
    const expiresAt = new Date(now.getTime() + 1);
    expect(budgetReturnOf({ ...revoked, status: 'active', expiresAt }, used, used, now)).toEqual({
      returnNano: 0n,
      closedAt: null,
      returnDueAt: expiresAt,
    });
  });

  it.each([
    ['a call runs in the ledger', revoked, { ...used, heldNano: 1n }, used],
    ['a call runs in Redis', revoked, used, { ...used, heldNano: 1n }],
    ['the ledger has not booked all that Redis has', revoked, { ...used, spentNano: 39n }, used],
    ['Redis lost what the ledger has', revoked, used, { spentNano: 0n, heldNano: 0n }],
    ['Redis may still let calls in', { ...revoked, projectedVersion: 2 }, used, used],
  ])('waits while %s', (_, key, booked, live) => {
    expect(budgetReturnOf(key, booked, live, now)).toEqual({
      returnNano: 0n,
      closedAt: null,
      returnDueAt: new Date(now.getTime() + 5_000),
    });
  });

  it('gives nothing back twice, and what a correction refunded later', () => {
    const closed = { ...revoked, budgetNano: 40n, closedAt: ago(MINUTE_MS) };
    expect(budgetReturnOf(closed, used, used, now).returnNano).toBe(0n);
    const corrected = { ...used, spentNano: 15n };
    expect(budgetReturnOf(closed, corrected, corrected, now)).toMatchObject({
      returnNano: 25n,
      closedAt: closed.closedAt,
    });
  });

  it('is checked ever more rarely, and after thirty days no more', () => {
    const next = (closedMs: number) =>
      budgetReturnOf({ ...revoked, closedAt: ago(closedMs) }, used, used, now).returnDueAt;
    expect(
      [MINUTE_MS, 10 * MINUTE_MS, 3 * DAY_MS].map((closedMs) => next(closedMs)!.getTime() - now.getTime()),
    ).toEqual([MINUTE_MS, 10 * MINUTE_MS, DAY_MS]);
    expect(next(31 * DAY_MS)).toBeNull();
  });
});
