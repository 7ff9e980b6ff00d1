import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  canonical,
  canonicalRow,
  GENESIS,
  linkAfter,
  policyVersionOf,
  type ActRow,
  type CheckRow,
  type RequestRow,
} from './audit.chain.js';

const act: ActRow = {
  kind: 'act',
  id: 'act_1',
  atMs: 1,
  act: 'status',
  subject: 'key_1',
  beforeMs: null,
  note: 'suspended',
};

describe('the hash of an act', () => {
  it('is that of the versions before, where nobody said who did it', () => {
    const before = 'ea18e6c6f1e93cd5c2f556dfae16ad605a36ebe6119a0c89c208518a5fc669dc';
    expect(linkAfter(GENESIS, act).hash).toBe(before);
    expect(linkAfter(GENESIS, { ...act, actor: undefined }).hash).toBe(before);
  });

  it('covers the name of whoever did it', () => {
    const hashes = [act, { ...act, actor: 'Ada' }, { ...act, actor: 'Grace' }].map(
      (row) => linkAfter(GENESIS, row).hash,
    );
    expect(new Set(hashes).size).toBe(3);
  });
});

const word = fc.string({ unit: 'binary' });
const maybe = fc.option(word);
/** What was stored, and what somebody who altered the database may have left there. */
const scores = fc.oneof(
  fc.dictionary(
    fc.constantFrom('violence', 'hate', 'sexual/minors', '10', '9', '__proto__', 'a\0b', 'a', 'b'),
    fc.double(),
  ),
  fc.jsonValue(),
) as fc.Arbitrary<Record<string, number>>;
const common = {
  id: word,
  atMs: fc.integer(),
  visitorId: word,
  keyId: word,
  campaignId: word,
  model: word,
  policyVersion: word,
  contentHash: maybe,
};
const request: fc.Arbitrary<RequestRow> = fc.record({
  ...common,
  kind: fc.constant('request'),
  endpoint: fc.option(word, { nil: undefined }),
  stream: fc.boolean(),
});
const check: fc.Arbitrary<CheckRow> = fc.record({
  ...common,
  kind: fc.constant('check'),
  requestId: word,
  direction: fc.constantFrom('input', 'output'),
  guard: word,
  decision: fc.constantFrom('pass', 'blocked'),
  categories: fc.array(word),
  scores,
  thresholds: scores,
  latencyMs: fc.integer(),
  reason: maybe,
});

describe('the text of a row that its hash covers', () => {
  it('is the canonical one, without its sorting', () => {
    fc.assert(
      fc.property(fc.oneof(request, check), (row) => {
        expect(canonicalRow(row)).toBe(canonical(row));
      }),
      { numRuns: 500 },
    );
  });

  it('does not mix up sets of names that look alike when joined', () => {
    const of = (values: Record<string, number>): string =>
      canonicalRow({ ...checked, scores: values } as CheckRow).replace(/.*"scores":(\{.*?\}).*/, '$1');
    expect(of({ b: 1, 'a\0c': 2 })).toBe('{"a\\u0000c":2,"b":1}');
    expect(of({ 'b\0a': 1, c: 2 })).toBe('{"b\\u0000a":1,"c":2}');
  });

  it('is that of the versions before', () => {
    expect(linkAfter(GENESIS, asked).hash).toBe('0ed12ddfe777b11c40300bc262fadc59f3af185be92a4ab6bf203f04dcdc1b74');
    expect(linkAfter(GENESIS, { ...asked, endpoint: 'responses' }).hash).toBe(
      '3d7ae5376b2163fcbf54c661fc4c2ba0a85d73a8dee72b8951252c685d67779b',
    );
    expect(linkAfter(GENESIS, checked).hash).toBe('c1a0134eb31af9c54f69ef8fdd9f725fb84269be392fcef5ff057c534911752c');
  });
});

const asked: RequestRow = {
  kind: 'request',
  id: 'req_1',
  atMs: 1,
  visitorId: 'key_1',
  keyId: 'key_1',
  campaignId: 'cmp_1',
  model: 'm',
  stream: false,
  policyVersion: 'p',
  contentHash: null,
};
const checked: CheckRow = {
  kind: 'check',
  id: 'chk_1',
  atMs: 1,
  requestId: 'req_1',
  visitorId: 'key_1',
  keyId: 'key_1',
  campaignId: 'cmp_1',
  direction: 'output',
  guard: 'moderation',
  model: 'm',
  decision: 'flagged',
  categories: ['violence', 'hate'],
  scores: { violence: 0.5, hate: 1e-7 },
  thresholds: { violence: 0.4 },
  policyVersion: 'p',
  latencyMs: 3,
  reason: 'a "quoted" reason',
  contentHash: 'ff',
};

describe('the version of a policy', () => {
  it('follows from what the policy says, in whatever order', () => {
    const one = { input: 'gate', thresholds: { a: 1, b: 2 } };
    expect(policyVersionOf(one)).toBe(policyVersionOf({ thresholds: { b: 2, a: 1 }, input: 'gate' }));
    expect(policyVersionOf(one)).not.toBe(policyVersionOf({ ...one, input: 'observe' }));
  });
});
