import { describe, expect, it } from '@jest/globals';
import { decide } from './decision.js';

const policy = { input: 'gate', output: 'gate', thresholds: {}, onUnavailable: 'closed' } as const;

describe('what becomes of a judged input', () => {
  it('passes when nothing is flagged', () => {
    expect(decide({ outcome: 'judged', judgement: { flagged: false, categories: [], scores: {} }, results: [] }, policy)).toEqual({ pass: true, word: 'pass' });
  });

  it('is refused with its categories, and counts as a strike, when it is flagged', () => {
    const decision = decide({ outcome: 'judged', judgement: { flagged: true, categories: ['violence'], scores: {} }, results: [] }, policy);
    expect(decision).toMatchObject({
      pass: false,
      strike: true,
      error: { code: 'moderation_blocked', details: { direction: 'input', categories: ['violence'] } },
    });
  });

  it('is refused without a strike when there is no verdict and the policy is closed', () => {
    expect(decide({ outcome: 'unavailable', reason: 'x', refused: true }, policy)).toMatchObject({
      pass: false,
      strike: false,
      error: { code: 'invalid_request', param: 'messages' },
    });
    expect(decide({ outcome: 'unavailable', reason: 'x', refused: false }, policy)).toMatchObject({
      pass: false,
      strike: false,
      error: { code: 'moderation_unavailable', retry: true },
    });
  });

  it('passes as unchecked when there is no verdict and the policy is open', () => {
    expect(decide({ outcome: 'unavailable', reason: 'x', refused: false }, { ...policy, onUnavailable: 'open' })).toEqual({ pass: true, word: 'unchecked' });
  });
});
