import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  effectivePolicy,
  MODERATION_CATEGORIES,
  moderationPolicySchema,
  type CallPolicy,
  type ModerationPolicy,
} from './policy.js';

const policy = (changes: Partial<ModerationPolicy> = {}): ModerationPolicy => moderationPolicySchema.parse(changes);
const NO_WISH = { input: false, output: false };

const policies = fc.record({
  input: fc.constantFrom('gate', 'parallel', 'observe', 'off'),
  output: fc.constantFrom('gate', 'window', 'trail', 'observe', 'off'),
  thresholds: fc.dictionary(fc.constantFrom(...MODERATION_CATEGORIES), fc.double({ min: 0, max: 1, noNaN: true })),
  on_unavailable: fc.constantFrom('closed', 'open'),
}) as fc.Arbitrary<ModerationPolicy>;
const wishes = fc.record({ input: fc.boolean(), output: fc.boolean() });

const strictness = { off: 0, observe: 1, trail: 2, window: 3, parallel: 3, gate: 4 };

/** What a policy does with one score and the model's own flag: the meaning that "tighter" has to hold for. */
function flags(call: CallPolicy, category: string, score: number, ownFlag: boolean): boolean {
  const threshold = call.thresholds[category];
  const byFlag = threshold === undefined || (call.flagsToo ?? []).includes(category);
  return (threshold !== undefined && score >= threshold) || (byFlag && ownFlag);
}

describe('the policy of one call', () => {
  it('checks both directions and fails closed where nobody said otherwise', () => {
    expect(effectivePolicy(policy(), null, NO_WISH, true)).toEqual({
      input: 'gate',
      output: 'gate',
      thresholds: {},
      onUnavailable: 'closed',
    });
  });

  it('takes images as data only where the campaign or the key says so', () => {
    const [fetch, data] = [policy({ images: 'fetch' }), policy({ images: 'data' })];
    expect([fetch, policy()].map((campaign) => effectivePolicy(campaign, fetch, NO_WISH, true).images)).toEqual([
      undefined,
      undefined,
    ]);
    for (const [campaign, key] of [
      [data, null],
      [data, fetch],
      [fetch, data],
    ] as const) {
      expect(effectivePolicy(campaign, key, NO_WISH, true).images).toBe('data');
    }
  });

  it('keeps nothing for later where the campaign or the key says so', () => {
    const [on, off] = [policy({ shelf: 'on' }), policy({ shelf: 'off' })];
    expect([on, policy()].map((campaign) => effectivePolicy(campaign, on, NO_WISH, true).shelf)).toEqual([
      undefined,
      undefined,
    ]);
    for (const [campaign, key] of [
      [off, null],
      [off, on],
      [on, off],
    ] as const) {
      expect(effectivePolicy(campaign, key, NO_WISH, true).shelf).toBe('off');
    }
  });

  it('takes parallel for laxer than gate, and stricter than observe', () => {
    const inputOf = (campaign: ModerationPolicy['input'], key: ModerationPolicy['input']) =>
      effectivePolicy(policy({ input: campaign }), policy({ input: key }), NO_WISH, true).input;
    expect([inputOf('parallel', 'off'), inputOf('parallel', 'gate'), inputOf('observe', 'parallel')]).toEqual([
      'parallel',
      'gate',
      'parallel',
    ]);
  });

  it.each(['window', 'trail'] as const)(
    'judges an answer in one piece whole under %s, and a stream piece by piece',
    (output) => {
      expect(effectivePolicy(policy({ output }), null, NO_WISH, true).output).toBe(output);
      expect(effectivePolicy(policy({ output }), null, NO_WISH, false).output).toBe('gate');
    },
  );

  it('is the stricter of campaign and key on each side', () => {
    expect(
      effectivePolicy(
        policy({ input: 'off', output: 'gate' }),
        policy({ input: 'observe', output: 'off' }),
        NO_WISH,
        true,
      ),
    ).toMatchObject({
      input: 'observe',
      output: 'gate',
    });
  });

  it('takes the lower of two thresholds, and a threshold that only the key names', () => {
    const call = effectivePolicy(
      policy({ thresholds: { violence: 0.6, hate: 0.2 } }),
      policy({ thresholds: { violence: 0.3, hate: 0.9, sexual: 0.5 } }),
      NO_WISH,
      true,
    );
    expect(call.thresholds).toEqual({ violence: 0.3, hate: 0.2, sexual: 0.5 });
  });

  it("keeps the model's own flag in force where only the key named a threshold, or a threshold of 1 would switch the category off", () => {
    const call = effectivePolicy(policy(), policy({ thresholds: { 'sexual/minors': 1 } }), NO_WISH, true);
    expect(flags(call, 'sexual/minors', 0.97, true)).toBe(true);
  });

  it('lets a caller ask for more on each side alone', () => {
    const off = policy({ input: 'off', output: 'off' });
    expect(effectivePolicy(off, null, { input: true, output: false }, true)).toMatchObject({
      input: 'gate',
      output: 'off',
    });
    expect(effectivePolicy(off, null, { input: false, output: true }, true)).toMatchObject({
      input: 'off',
      output: 'window',
    });
    expect(effectivePolicy(off, null, { input: false, output: true }, false)).toMatchObject({
      input: 'off',
      output: 'gate',
    });
    expect(effectivePolicy(policy({ output: 'trail' }), null, { input: false, output: true }, true).output).toBe(
      'window',
    );
    expect(effectivePolicy(policy(), null, { input: false, output: true }, true).output).toBe('gate');
  });

  it('is never laxer than the campaign, whatever key and caller say', () => {
    fc.assert(
      fc.property(
        policies,
        fc.option(policies),
        wishes,
        fc.constantFrom(...MODERATION_CATEGORIES),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        fc.boolean(),
        (campaign, key, wish, category, score, own, stream) => {
          const alone = effectivePolicy(campaign, null, NO_WISH, stream);
          const joined = effectivePolicy(campaign, key, wish, stream);
          expect(strictness[joined.input]).toBeGreaterThanOrEqual(strictness[alone.input]);
          expect(strictness[joined.output]).toBeGreaterThanOrEqual(strictness[alone.output]);
          if (alone.onUnavailable === 'closed') expect(joined.onUnavailable).toBe('closed');
          if (flags(alone, category, score, own)) expect(flags(joined, category, score, own)).toBe(true);
        },
      ),
    );
  });

  it('is never laxer than the key itself', () => {
    fc.assert(
      fc.property(
        policies,
        policies,
        wishes,
        fc.constantFrom(...MODERATION_CATEGORIES),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (campaign, key, wish, category, score) => {
          const joined = effectivePolicy(campaign, key, wish, true);
          const threshold = key.thresholds[category];
          if (threshold !== undefined && score >= threshold) expect(flags(joined, category, score, false)).toBe(true);
          if (key.on_unavailable === 'closed') expect(joined.onUnavailable).toBe('closed');
        },
      ),
    );
  });

  it('joins strikes to the tighter of campaign and key, with a rest of ten minutes and a memory of a day where nobody says', () => {
    const campaign = policy({ strikes: { cooldown_after: 3, cooldown_seconds: 60 } });
    expect(effectivePolicy(policy(), null, NO_WISH, true).strikes).toBeUndefined();
    expect(effectivePolicy(campaign, null, NO_WISH, true).strikes).toEqual({
      cooldownAfter: 3,
      cooldownMs: 60_000,
      suspendAfter: 0,
      windowMs: 86_400_000,
    });
    const key = policy({ strikes: { cooldown_after: 5, cooldown_seconds: 600, suspend_after: 7, window_seconds: 60 } });
    expect(effectivePolicy(campaign, key, NO_WISH, true).strikes).toEqual({
      cooldownAfter: 3,
      cooldownMs: 600_000,
      suspendAfter: 7,
      windowMs: 60_000,
    });
    expect(effectivePolicy(policy(), policy({ strikes: {} }), NO_WISH, true).strikes).toMatchObject({
      cooldownMs: 600_000,
      suspendAfter: 0,
    });
  });

  it("leaves the campaign's own policy as it was", () => {
    const campaign = policy({ thresholds: { violence: 0.6 } });
    effectivePolicy(campaign, policy({ thresholds: { violence: 0.1, hate: 0.1 } }), NO_WISH, true);
    expect(campaign.thresholds).toEqual({ violence: 0.6 });
  });
});

describe('a policy as an operator writes it', () => {
  it.each([
    ['an unknown field', { inputs: 'off' }],
    ['an unknown mode', { input: 'maybe' }],
    ['an unknown category', { thresholds: { violense: 0.5 } }],
    ['a threshold above 1', { thresholds: { violence: 1.1 } }],
    ['a negative threshold', { thresholds: { violence: -0.1 } }],
    ['window for the input', { input: 'window' }],
    ['no strikes at all', { strikes: { suspend_after: 0 } }],
    ['more strikes than are remembered', { strikes: { cooldown_after: 101 } }],
    ['an unknown step', { strikes: { ban_after: 3 } }],
  ])('is refused with %s', (_, written) => {
    expect(moderationPolicySchema.safeParse(written).success).toBe(false);
  });

  it('may name some categories and leave the rest', () => {
    expect(moderationPolicySchema.parse({ thresholds: { 'sexual/minors': 0.01 } }).thresholds).toEqual({
      'sexual/minors': 0.01,
    });
  });
});

describe('a campaign that leaves embeddings unjudged', () => {
  const policy = (more: object = {}) => moderationPolicySchema.parse({ thresholds: { violence: 0.5 }, ...more });
  const nothing = { input: false, output: false };
  const inputOf = (
    campaign: object,
    key: object | null,
    wish = nothing,
    api: 'embeddings' | 'another' = 'embeddings',
  ) => effectivePolicy(policy(campaign), key && policy(key), wish, false, api === 'another' ? undefined : api).input;

  it('does so for them alone, and only where it says so', () => {
    expect(inputOf({ embeddings: 'off' }, null)).toBe('off');
    expect(inputOf({ embeddings: 'off' }, null, nothing, 'another')).toBe('gate');
    expect(inputOf({}, null)).toBe('gate');
    expect(inputOf({ input: 'observe' }, null)).toBe('observe');
  });

  it('judges those of a key that tightens the input, and no key can say it by itself', () => {
    expect(inputOf({ embeddings: 'off' }, { input: 'off' })).toBe('off');
    expect(inputOf({ embeddings: 'off' }, { input: 'observe' })).toBe('observe');
    expect(inputOf({ embeddings: 'off' }, { input: 'gate' })).toBe('gate');
    expect(inputOf({}, { input: 'off', embeddings: 'off' })).toBe('gate');
  });

  it('judges them where their visitor asks for it', () => {
    expect(inputOf({ embeddings: 'off' }, null, { input: true, output: false })).toBe('gate');
  });

  it('can say nothing else', () => {
    expect(moderationPolicySchema.safeParse({ embeddings: 'observe' }).success).toBe(false);
  });
});
