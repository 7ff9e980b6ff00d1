import { describe, expect, it } from '@jest/globals';
import type { HoldAnswer } from '#libs/holds/hold.types.js';
import { refusalOf } from './refusals.js';

type Refused = Parameters<typeof refusalOf>[0];
const short: Extract<HoldAnswer, { code: 'insufficient' }> = {
  code: 'insufficient',
  level: 'campaign',
  period: '',
  freeNano: 1_500_000n,
  heldNano: 250_000_000n,
  needNano: 2_000_001n,
};

describe('a hold that was not taken', () => {
  it.each<[Refused, number, string, boolean]>([
    [{ code: 'recovering' }, 503, 'recovering', true],
    [{ code: 'paused' }, 503, 'paused', true],
    [{ code: 'overloaded' }, 503, 'overloaded', true],
    [{ code: 'invalid' }, 401, 'invalid_api_key', false],
    [{ code: 'suspended' }, 403, 'key_suspended', false],
    [short, 429, 'insufficient_quota', false],
    [{ code: 'concurrency', limit: 3 }, 429, 'rate_limit_exceeded', true],
    [{ code: 'requests', limit: 3, waitMs: 1_234 }, 429, 'rate_limit_exceeded', true],
    [{ code: 'tokens', limit: 3, waitMs: 1_234, need: 2 }, 429, 'rate_limit_exceeded', true],
    [{ code: 'tokens', limit: 3, waitMs: -1, need: 4 }, 429, 'rate_limit_exceeded', false],
    [{ code: 'requests', limit: 3, waitMs: 60_001 }, 429, 'rate_limit_exceeded', false],
    [{ code: 'reused' }, 409, 'idempotency_conflict', false],
    [{ code: 'unanswered' }, 409, 'idempotency_conflict', false],
    [{ code: 'in_progress' }, 409, 'idempotency_in_progress', true],
  ])('%j is told as %i %s, retry %p', (answer, status, code, retry) => {
    const error = refusalOf(answer);
    expect(error).toMatchObject({ status, code, retry });
    // Who is asked to come again is told when.
    if (retry) expect(Number(error.headers()['retry-after-ms'])).toBeGreaterThan(0);
  });

  it('for want of money says where it is short, what is free, what running calls hold, and what it takes', () => {
    const error = refusalOf(short);
    expect(error.details).toEqual({
      level: 'campaign',
      free_usd: '0.0015',
      held_usd: '0.25',
      needed_usd: '0.002000001',
    });
    expect(error.message).toMatch(
      /budget of the campaign does not cover .*at least \$0\.002000001, \$0\.0015 is free and \$0\.25 is held by running calls/,
    );
  });

  it.each([
    ['day', 'the operator for today'],
    ['total', 'the operator does not'],
  ] as const)("says of the operator's own budget whether it is the %s's", (period, words) => {
    const error = refusalOf({ ...short, level: 'operator', period, heldNano: 0n });
    expect(error.details).toMatchObject({ level: 'operator', period, held_usd: '0.00' });
    expect(error.message).toContain(words);
    expect(error.message).not.toContain('held');
  });
});
