import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { campaignBudgetTransfers, keyBudgetTransfers } from './budget-transfer.js';
import { transferOf, type MoneyEvent, type Transfer } from './transfer.js';

const event = (changes: Partial<MoneyEvent>): MoneyEvent => ({
  kind: 'hold',
  request: 'r',
  key: 'k',
  campaign: 'c',
  amount: '1000',
  paid: '0',
  absorbed: '0',
  day: 20_780,
  first_use: '0',
  until_ms: 0,
  attempt: 0,
  strikes: 0,
  step: '',
  upstream: '',
  at_ms: 1_763_876_480_000,
  detail: '{}',
  ...changes,
});
const accounts = (transfer: Transfer) =>
  Object.fromEntries(transfer.entries.map(({ account, amountNano }) => [account, amountNano]));
const sum = (transfers: Transfer[]) =>
  transfers.flatMap(({ entries }) => entries).reduce((total, { amountNano }) => total + amountNano, 0n);
const totals = (transfers: Transfer[]) => {
  const balances: Record<string, bigint> = {};
  for (const { account, amountNano } of transfers.flatMap(({ entries }) => entries))
    balances[account] = (balances[account] ?? 0n) + amountNano;
  return balances;
};

describe('the booking of a journal event', () => {
  it.each([
    ['a hold moves the amount into flight', {}, 'r:hold', { 'key:k': -1000n, inflight: 1000n }],
    [
      'a post pays the upstream and gives the rest back',
      { kind: 'post', paid: '300' },
      'r:end',
      { inflight: -1000n, 'upstream:openai': 300n, 'key:k': 700n },
    ],
    [
      'a post of exactly the amount gives nothing back',
      { kind: 'post', paid: '1000' },
      'r:end',
      { inflight: -1000n, 'upstream:openai': 1000n },
    ],
    [
      "what is beyond the amount is the operator's",
      { kind: 'post', paid: '1000', absorbed: '50' },
      'r:end',
      { inflight: -1000n, 'upstream:openai': 1050n, absorbed: -50n },
    ],
    ['a void gives all of it back', { kind: 'void' }, 'r:end', { inflight: -1000n, 'key:k': 1000n }],
    [
      'a post to another upstream is owed to that one',
      { kind: 'post', paid: '1000', upstream: 'spare' },
      'r:end',
      { inflight: -1000n, 'upstream:spare': 1000n },
    ],
    [
      'a presumption books the amount',
      { kind: 'presume', paid: '1000' },
      'r:end',
      { inflight: -1000n, 'upstream:openai': 1000n },
    ],
    [
      'a correction refunds what was presumed too much',
      { kind: 'correct', paid: '300' },
      'r:correct',
      { 'upstream:openai': -700n, 'key:k': 700n },
    ],
    [
      'a correction may also find more',
      { kind: 'correct', paid: '1000', absorbed: '20' },
      'r:correct',
      { 'upstream:openai': 20n, absorbed: -20n },
    ],
  ] as const)('%s', (_, changes, id, entries) => {
    const transfer = transferOf(event(changes), '1-0');
    expect(transfer.id).toBe(id);
    expect(accounts(transfer)).toEqual(entries);
  });

  it('keeps who, when, and its detail', () => {
    expect(transferOf(event({ detail: '{"model":"m"}' }), '7-1')).toMatchObject({
      kind: 'hold',
      requestId: 'r',
      keyId: 'k',
      campaignId: 'c',
      journalId: '7-1',
      at: new Date(1_763_876_480_000),
      detail: { model: 'm' },
    });
  });

  it.each([
    ['a detail that is no JSON', { detail: '{' }],
    ['a time that is none', { at_ms: 1e16 }],
    ['an amount beyond any account', { amount: '9223372036854775808' }],
  ])('cannot be made of %s', (_, changes) => {
    expect(() => transferOf(event(changes), null)).toThrow();
  });

  const nano = fc.bigInt({ min: 0n, max: 9_000_000_000_000_000n });
  const call = fc
    .record({ amount: nano, share: fc.integer({ min: 0, max: 100 }), absorbed: fc.option(nano, { nil: 0n }) })
    .map(({ amount, share, absorbed }) => {
      const paid = (amount * BigInt(share)) / 100n;
      return {
        amount: amount.toString(),
        paid: paid.toString(),
        absorbed: (paid === amount ? absorbed : 0n).toString(),
      };
    });

  it('always sums to zero, without empty entries, one for each account', () => {
    fc.assert(
      fc.property(call, fc.constantFrom('hold', 'post', 'void', 'presume', 'correct'), (amounts, kind) => {
        const transfer = transferOf(event({ ...amounts, kind: kind as MoneyEvent['kind'] }), null);
        expect(sum([transfer])).toBe(0n);
        expect(transfer.entries.every(({ amountNano }) => amountNano !== 0n)).toBe(true);
        expect(new Set(transfer.entries.map(({ account }) => account)).size).toBe(transfer.entries.length);
      }),
    );
  });

  it('of a whole call leaves nothing in flight, and the key short of what it paid', () => {
    fc.assert(
      fc.property(call, fc.boolean(), (amounts, presumedFirst) => {
        const ends = presumedFirst
          ? [
              event({ ...amounts, kind: 'presume', paid: amounts.amount, absorbed: '0' }),
              event({ ...amounts, kind: 'correct' }),
            ]
          : [event({ ...amounts, kind: 'post' })];
        const balances = totals([event(amounts), ...ends].map((one) => transferOf(one, null)));
        expect(balances.inflight ?? 0n).toBe(0n);
        expect(balances['key:k'] ?? 0n).toBe(-BigInt(amounts.paid));
        expect((balances['upstream:openai'] ?? 0n) + (balances.absorbed ?? 0n)).toBe(BigInt(amounts.paid));
      }),
    );
  });
});

describe('the booking of a budget', () => {
  const at = new Date(0);

  it('comes from the operator to the campaign, from the campaign to the key, and goes back the same way', () => {
    expect(campaignBudgetTransfers({ campaignId: 'c', deltaNano: 5n, version: 0, at })).toMatchObject([
      { id: 'fund:c:0', kind: 'fund', keyId: null },
    ]);
    expect(campaignBudgetTransfers({ campaignId: 'c', deltaNano: -5n, version: 3, at })).toMatchObject([
      { id: 'return:c:3', kind: 'return' },
    ]);
    const [grant] = keyBudgetTransfers({ campaignId: 'c', keyId: 'k', deltaNano: 5n, version: 0, at });
    expect(grant).toMatchObject({ id: 'grant:k:0', kind: 'grant', keyId: 'k', campaignId: 'c' });
    expect(accounts(grant!)).toEqual({ 'campaign:c': -5n, 'key:k': 5n });
    const [back] = keyBudgetTransfers({ campaignId: 'c', keyId: 'k', deltaNano: -5n, version: 2, at });
    expect(accounts(back!)).toEqual({ 'campaign:c': 5n, 'key:k': -5n });
  });

  it('is none where nothing changes', () => {
    expect(campaignBudgetTransfers({ campaignId: 'c', deltaNano: 0n, version: 0, at })).toEqual([]);
  });

  it('always sums to zero', () => {
    fc.assert(
      fc.property(fc.bigInt(), (deltaNano) => {
        expect(sum(keyBudgetTransfers({ campaignId: 'c', keyId: 'k', deltaNano, version: 1, at }))).toBe(0n);
      }),
    );
  });
});
