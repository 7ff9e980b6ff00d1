import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
let key: { id: string };
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '100' });
  await accounting.createCampaign('done', { budget_usd: '100' });
  key = await accounting.createKey('c', { budget_usd: '10' });
  await accounting.createKey('done', { budget_usd: '10' });
  await accounting.admin('PATCH', '/admin/v1/campaigns/done', { status: 'closed' });
});
afterAll(() => accounting.stop());

const campaign = { slug: 'new', name: 'New', models: ['gpt-5.4-mini'] };
/** The fields that take an amount, each with its request. */
const FIELDS: [string, string, () => string, string, (amount: unknown) => object][] = [
  [
    'a new campaign',
    'POST',
    () => '/admin/v1/campaigns',
    'budget_usd',
    (amount) => ({ ...campaign, budget_usd: amount }),
  ],
  [
    "a campaign's defaults",
    'POST',
    () => '/admin/v1/campaigns',
    'key_defaults.budget_usd',
    (amount) => ({ ...campaign, budget_usd: '1', key_defaults: { budget_usd: amount } }),
  ],
  [
    'a changed campaign',
    'PATCH',
    () => '/admin/v1/campaigns/c',
    'budget_usd',
    (amount) => ({ budget_usd: amount, name: 'other' }),
  ],
  ['a fund', 'POST', () => '/admin/v1/campaigns/c/fund', 'amount_usd', (amount) => ({ amount_usd: amount })],
  ['a new key', 'POST', () => '/admin/v1/keys', 'budget_usd', (amount) => ({ campaign: 'c', budget_usd: amount })],
  [
    'a batch',
    'POST',
    () => '/admin/v1/keys/batch',
    'budget_usd',
    (amount) => ({ campaign: 'c', budget_usd: amount, count: 3 }),
  ],
  [
    'a changed key',
    'PATCH',
    () => `/admin/v1/keys/${key.id}`,
    'budget_usd',
    (amount) => ({ budget_usd: amount, label: 'other' }),
  ],
];
const AMOUNTS: [string, unknown, string][] = [
  ['negative', '-0.000000001', 'must not be negative'],
  ['of more than 18 digits', '1234567890123456789', 'more than 18 digits'],
  ['of a thousand digits', '9'.repeat(1_000), 'more than 18 digits'],
  ['above the maximum', '9000000.000000001', 'the most is 9000000.00 dollars'],
  ['of ten decimals', '0.0000000001', 'more than nine decimals'],
  ['in scientific notation', '1e3', 'must not have an exponent'],
  ['in scientific notation, with decimals', '1.5E-7', 'must not have an exponent'],
  ['a number', 5, 'must be a decimal string such as "2.50"'],
  ['null', null, 'must be a decimal string such as "2.50"'],
  ['a list', ['5'], 'must be a decimal string such as "2.50"'],
  ['empty', '', 'decimal string such as "2.50"'],
  ['with spaces', ' 5 ', 'decimal string such as "2.50"'],
  ['with a comma', '1,50', 'decimal string such as "2.50"'],
  ['with a sign', '+5', 'decimal string such as "2.50"'],
  ['in hex', '0x10', 'decimal string such as "2.50"'],
  ['in other digits', '٥', 'decimal string such as "2.50"'],
  ['with a line break at its end', '5\n', 'decimal string such as "2.50"'],
  ['not a number at all', 'NaN', 'decimal string such as "2.50"'],
];

/** Everything that a write could change. */
const everything = () =>
  accounting.source.query(`
    SELECT (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM access.campaigns c) AS campaigns, (SELECT jsonb_agg(to_jsonb(k) ORDER BY k.id) FROM access.keys k) AS keys,
           (SELECT count(*) FROM ledger.transfers) AS transfers`);

describe.each(FIELDS)('%s', (_, method, path, param, body) => {
  it.each(AMOUNTS)('is refused an amount that is %s; nothing changes', async (_what, amount, message) => {
    const before = await everything();
    const answer = await accounting.admin(method, path(), body(amount));
    expect([answer.status, answer.body.error.code, answer.body.error.param]).toEqual([400, 'invalid_request', param]);
    expect(answer.body.error.message).toContain(`${param}: `);
    expect(answer.body.error.message).toContain(message);
    expect(await everything()).toEqual(before);
  });
});

describe('what is asked of an account that cannot give it', () => {
  beforeAll(async () => {
    await accounting.call(key, 'spent', 3_000_000_000n, 1_000_000_000n);
    await accounting.hold(key, 'held', 2_000_000_000n);
    await accounting.drained();
  });

  it.each<[string, string, () => string, object, number, string, string]>([
    [
      'a fund of nothing',
      'POST',
      () => '/admin/v1/campaigns/c/fund',
      { amount_usd: '0.00' },
      400,
      'amount_usd',
      'more than 0',
    ],
    [
      'a fund beyond the maximum',
      'POST',
      () => '/admin/v1/campaigns/c/fund',
      { amount_usd: '8999901' },
      409,
      'amount_usd',
      'the most is',
    ],
    [
      'a fund of a closed campaign',
      'POST',
      () => '/admin/v1/campaigns/done/fund',
      { amount_usd: '1' },
      409,
      'amount_usd',
      'is closed',
    ],
    [
      'a higher budget of a closed campaign',
      'PATCH',
      () => '/admin/v1/campaigns/done',
      { budget_usd: '101' },
      409,
      'budget_usd',
      'is closed',
    ],
    [
      'a higher budget with the closing itself',
      'PATCH',
      () => '/admin/v1/campaigns/c',
      { status: 'closed', budget_usd: '101' },
      409,
      'budget_usd',
      'is closed',
    ],
    ['a key of a closed campaign', 'POST', () => '/admin/v1/keys', { campaign: 'done' }, 409, 'campaign', 'is closed'],
    [
      'a batch of a closed campaign',
      'POST',
      () => '/admin/v1/keys/batch',
      { campaign: 'done', count: 2 },
      409,
      'campaign',
      'is closed',
    ],
    [
      'a budget below what the campaign uses',
      'PATCH',
      () => '/admin/v1/campaigns/c',
      { budget_usd: '2.999999999' },
      409,
      'budget_usd',
      'spent (1.00)',
    ],
    [
      'a budget below what the key uses',
      'PATCH',
      () => `/admin/v1/keys/${key.id}`,
      { budget_usd: '2.999999999' },
      409,
      'budget_usd',
      'held by running calls (2.00)',
    ],
    [
      'no budget of a key in use',
      'PATCH',
      () => `/admin/v1/keys/${key.id}`,
      { budget_usd: '0' },
      409,
      'budget_usd',
      'Nothing was changed',
    ],
    [
      'a budget of a key whose time is over',
      'PATCH',
      () => `/admin/v1/keys/${key.id}`,
      { expires_at: '2020-01-01T00:00:00Z', budget_usd: '20' },
      409,
      'budget_usd',
      'ttl_seconds or expires_at',
    ],
  ])('%s is refused; nothing changes', async (_, method, path, body, status, param, message) => {
    const before = await everything();
    const answer = await accounting.admin(method, path(), body);
    expect([answer.status, answer.body.error.param]).toEqual([status, param]);
    expect(answer.body.error.message).toContain(message);
    expect(await everything()).toEqual(before);
  });

  it('may be asked for down to what is used, and of a closed campaign for less, or again once it is active', async () => {
    expect((await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '3' })).body).toMatchObject({
      available_usd: '0.00',
    });
    expect((await accounting.admin('PATCH', '/admin/v1/campaigns/c', { budget_usd: '3' })).body).toMatchObject({
      available_usd: '0.00',
    });
    expect((await accounting.admin('PATCH', '/admin/v1/campaigns/done', { budget_usd: '99' })).body).toMatchObject({
      budget_usd: '99.00',
      status: 'closed',
    });
    expect(
      (await accounting.admin('PATCH', '/admin/v1/campaigns/done', { budget_usd: '110', status: 'active' })).body,
    ).toMatchObject({ budget_usd: '110.00' });
    expect(
      (await accounting.admin('POST', '/admin/v1/campaigns/done/fund', { amount_usd: '0.000000001' })).body.budget_usd,
    ).toBe('110.000000001');
    expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body).toMatchObject({
      ok: true,
      problems: [],
      differences: [],
    });
  });
});
