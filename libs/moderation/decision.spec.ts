import { describe, expect, it } from '@jest/globals';
import { decide } from './decision.js';

const policy = { input: 'gate', output: 'gate', thresholds: {}, onUnavailable: 'closed' } as const;

const held = { forwarded: false, param: 'messages' };
const forwarded = { forwarded: true, param: 'messages' };

describe('what becomes of a judged input', () => {
  it('passes when nothing is flagged', () => {
    expect(decide({ kind: 'pass', redactions: [] }, policy, held)).toEqual({
      pass: true,
      verdict: 'pass',
      word: 'pass',
      redactions: [],
    });
  });

  it('is refused with its categories, and counts as a strike, when it is flagged', () => {
    const decision = decide({ kind: 'flagged', categories: ['violence'], strike: true }, policy, held);
    expect(decision).toMatchObject({
      pass: false,
      verdict: 'blocked',
      strike: true,
      error: {
        code: 'moderation_blocked',
        param: 'messages',
        details: { direction: 'input', categories: ['violence'] },
      },
    });
  });

  it('is told what it cost, where it was forwarded meanwhile, and is not to be sent again by itself', () => {
    expect(decide({ kind: 'flagged', categories: ['violence'], strike: true }, policy, forwarded)).toMatchObject({
      error: { message: expect.stringContaining('was charged') },
    });
    expect(decide({ kind: 'unavailable', refused: false }, policy, forwarded)).toMatchObject({
      error: { retry: false },
    });
  });

  it('goes on without what was taken out of it', () => {
    const redactions = [{ find: 'a@b.co', replace: '[email]' }];
    expect(decide({ kind: 'pass', redactions }, policy, held)).toEqual({
      pass: true,
      verdict: 'redacted',
      word: 'redacted',
      redactions,
    });
  });

  it('is refused without a strike when there is no verdict and the policy is closed', () => {
    expect(decide({ kind: 'unavailable', refused: true }, policy, held)).toMatchObject({
      pass: false,
      verdict: 'unchecked',
      word: 'unavailable',
      strike: false,
      error: { code: 'invalid_request', param: 'messages' },
    });
    expect(decide({ kind: 'unavailable', refused: false }, policy, held)).toMatchObject({
      pass: false,
      strike: false,
      error: { code: 'moderation_unavailable', retry: true },
    });
  });

  it('passes as unchecked when there is no verdict and the policy is open', () => {
    expect(decide({ kind: 'unavailable', refused: false }, { ...policy, onUnavailable: 'open' }, held)).toMatchObject({
      pass: true,
      verdict: 'unchecked',
    });
  });

  it.each(['open', 'closed'] as const)(
    'waits, under a policy that is %s, where its key is the cause',
    (onUnavailable) => {
      const missing = { kind: 'unavailable', refused: true, retryAfterMs: 5_000 } as const;
      expect(decide(missing, { ...policy, onUnavailable }, held)).toMatchObject({
        pass: false,
        word: 'unavailable',
        error: { code: 'rate_limit_exceeded', param: 'messages', retry: true, retryAfterMs: 5_000 },
      });
      expect(decide(missing, { ...policy, onUnavailable }, forwarded)).toMatchObject({
        pass: false,
        error: { code: 'rate_limit_exceeded', retry: false, retryAfterMs: undefined },
      });
    },
  );

  it('is closed under an open policy, too, where a guard refused it', () => {
    expect(decide({ kind: 'unavailable', refused: true }, { ...policy, onUnavailable: 'open' }, held)).toMatchObject({
      pass: false,
      word: 'unavailable',
      error: { code: 'invalid_request', param: 'messages', retry: false },
    });
  });
});
