import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
});
afterAll(() => accounting.stop());

const whole = { slug: 'whole', name: 'Whole', budget_usd: '12.5', models: ['gpt-5.4-mini'] };

describe('POST /admin/v1/campaigns', () => {
  it('creates a campaign, funded and in force', async () => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', {
      ...whole,
      key_defaults: { budget_usd: '0.5', ttl_seconds: 3600, limits: { rpm: 10 } },
      moderation: { output: 'off' },
      origins: ['https://example.org'],
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      id: expect.stringMatching(/^cmp_/),
      slug: 'whole',
      status: 'active',
      budget_usd: '12.50',
      spent_usd: '0.00',
      held_usd: '0.00',
      available_usd: '12.50',
      key_defaults: { budget_usd: '0.50', ttl_seconds: 3600, limits: { rpm: 10 } },
      moderation: { input: 'gate', output: 'off', thresholds: {}, on_unavailable: 'closed' },
      origins: ['https://example.org'],
      keys: { total: 0, active: 0 },
      warnings: [],
    });
    expect(await accounting.redis.hget(`{dp}:campaign:${body.id}`, 'budget')).toBe('12500000000');
  });

  it('moderates under gate where the request has no policy', async () => {
    expect((await accounting.createCampaign('default-policy')).moderation).toEqual({
      input: 'gate',
      output: 'gate',
      thresholds: {},
      on_unavailable: 'closed',
    });
  });

  it('is refused with a model that has no price, and named it, at its creation and later', async () => {
    const refused = {
      status: 400,
      body: {
        error: {
          code: 'invalid_request',
          param: 'models',
          message: expect.stringMatching(/'my-own-model' costs.* DAYPASS_CONFIG/),
        },
      },
    };
    const models = ['gpt-5.4-mini', 'my-own-model'];
    const campaign = { slug: 'strange', name: 'strange', budget_usd: '1', models };
    expect(await accounting.admin('POST', '/admin/v1/campaigns', campaign)).toMatchObject(refused);
    expect((await accounting.admin('GET', '/admin/v1/campaigns/strange')).status).toBe(404);
    const known = await accounting.createCampaign('known', { models: ['gpt-5.4-mini'] });
    expect(await accounting.admin('PATCH', '/admin/v1/campaigns/known', { name: 'x', models })).toMatchObject(refused);
    expect((await accounting.admin('GET', '/admin/v1/campaigns/known')).body).toMatchObject({
      name: 'known',
      models: ['gpt-5.4-mini'],
      updated_at: known.updated_at,
    });
  });

  it('with a model of an older Daypass that has no price can be changed in all else, and says so', async () => {
    await accounting.createCampaign('older');
    await accounting.source.query(`UPDATE access.campaigns SET models = '["my-own-model"]' WHERE slug = 'older'`);
    const { status, body } = await accounting.admin('PATCH', '/admin/v1/campaigns/older', { name: 'Newer' });
    expect([status, body.name, body.warnings]).toEqual([200, 'Newer', [expect.stringContaining("'my-own-model'")]]);
  });

  it('takes a model that DAYPASS_CONFIG prices', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'daypass-prices-'));
    const file = join(folder, 'config.json');
    const own = { input_usd_per_million: 1, output_usd_per_million: 1 };
    await writeFile(file, JSON.stringify({ prices: { 'my-own-model': own } }));
    const priced = await AccountingFixture.start({ DAYPASS_CONFIG: file });
    try {
      expect(await priced.createCampaign('own', { models: ['my-own-model'] })).toMatchObject({ warnings: [] });
    } finally {
      await priced.stop();
      await rm(folder, { recursive: true });
    }
  });

  it('puts a change of its moderation on record, with who made it', async () => {
    const { id } = await accounting.createCampaign('watched', { moderation: { thresholds: { violence: 0.6 } } });
    const patch = (body: object) =>
      accounting.admin('PATCH', '/admin/v1/campaigns/watched', body, { 'x-daypass-actor': 'Ada' });
    await patch({ moderation: { thresholds: { violence: 0.6 } }, name: 'Watched' });
    await patch({ moderation: { thresholds: { violence: 0.7, hate: 0.5 }, strikes: { suspend_after: 5 } } });
    expect((await accounting.admin('GET', `/admin/v1/acts?subject=${id}`)).body.data).toEqual([
      expect.objectContaining({
        act: 'terms',
        actor: 'Ada',
        note: 'moderation: thresholds {"violence":0.6} → {"violence":0.7,"hate":0.5}; strikes none → {"suspend_after":5}',
      }),
    ]);
    expect((await accounting.admin('GET', '/admin/v1/audit/verify')).body.ok).toBe(true);
  });

  it('tells Redis for how long the record keeps contents, and since when it is closed', async () => {
    const { id } = await accounting.createCampaign('kept', { retention_days: 30 });
    const told = () => accounting.redis.hmget(`{dp}:campaign:${id}`, 'status', 'retention_days', 'closed_ms');
    expect(await told()).toEqual(['active', '30', '0']);
    const before = Date.now();
    await accounting.admin('PATCH', '/admin/v1/campaigns/kept', { status: 'closed', retention_days: null });
    const [status, days, closedMs] = await told();
    expect([status, days]).toEqual(['closed', '0']);
    expect(Math.abs(Number(closedMs) - before)).toBeLessThan(60_000);
    // A later change does not change since when.
    await accounting.admin('PATCH', '/admin/v1/campaigns/kept', { name: 'still closed' });
    expect((await told())[2]).toBe(closedMs);
    await accounting.admin('PATCH', '/admin/v1/campaigns/kept', { status: 'active' });
    expect(await told()).toEqual(['active', '0', '0']);
  });

  it('warns of a model that searches the web for a fee that nobody priced, and prices it', async () => {
    const { warnings, tool_prices } = await accounting.createCampaign('search', {
      models: ['gpt-4o-mini-search-preview'],
    });
    expect(warnings).toEqual([expect.stringContaining('tool_prices.web_search')]);
    expect(tool_prices).toEqual({});
    const price = { web_search: { usd_per_request: '0.025', input_tokens_per_request: 8_000 } };
    const { body } = await accounting.admin('PATCH', '/admin/v1/campaigns/search', { tool_prices: price });
    expect(body).toMatchObject({ tool_prices: price, warnings: [] });
    const told = async (): Promise<unknown> =>
      JSON.parse((await accounting.redis.hget(`{dp}:campaign:${body.id}`, 'tool_prices'))!);
    // A service of the version before reads what has no `max_calls`.
    expect(await told()).toEqual(price);
    const more = { web_search: { ...price.web_search, max_calls: 5 } };
    await accounting.admin('PATCH', '/admin/v1/campaigns/search', { tool_prices: { web_search: { max_calls: 5 } } });
    expect(await told()).toEqual(more);
    const sound = { images: { max: 1, quality: 'low' }, audio: { max_seconds: 60 } };
    await accounting.admin('PATCH', '/admin/v1/campaigns/search', { tool_prices: { web_search: null, ...sound } });
    expect(await told()).toEqual(sound);
  });

  it.each([
    ['a tool without a price', { code_interpreter: { usd_per_request: '1' } }, 'tool_prices.code_interpreter'],
    ['no fee', { web_search: {} }, 'tool_prices.web_search.usd_per_request'],
    ['a fee that is a number', { web_search: { usd_per_request: 0.1 } }, 'tool_prices.web_search.usd_per_request'],
    ['a negative fee', { web_search: { usd_per_request: '-0.1' } }, 'tool_prices.web_search.usd_per_request'],
    ['ten decimals', { web_search: { usd_per_request: '0.0123456789' } }, 'tool_prices.web_search.usd_per_request'],
    [
      'tokens in fractions',
      { web_search: { usd_per_request: '1', input_tokens_per_request: 0.5 } },
      'tool_prices.web_search.input_tokens_per_request',
    ],
    ['no call', { web_search: { usd_per_request: '1', max_calls: 0 } }, 'tool_prices.web_search.max_calls'],
    ['too many calls', { web_search: { usd_per_request: '1', max_calls: 101 } }, 'tool_prices.web_search.max_calls'],
    ['sound of a day and more', { audio: { max_seconds: 86_401 } }, 'tool_prices.audio.max_seconds'],
    ['no sound at all', { audio: { max_seconds: 0 } }, 'tool_prices.audio.max_seconds'],
  ])('refuses tool prices with %s', async (_, tool_prices, param) => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', {
      ...whole,
      slug: 'tools',
      tool_prices,
    });
    expect([status, body.error.code]).toEqual([400, 'invalid_request']);
    expect(body.error.param).toBe(param);
  });

  it('refuses a slug that is taken, with 409', async () => {
    await accounting.createCampaign('taken');
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', { ...whole, slug: 'taken' });
    expect(status).toBe(409);
    expect(body.error).toMatchObject({ code: 'conflict', param: 'slug' });
  });

  it.each([
    ['a number for money', { budget_usd: 5 }, 'budget_usd', 'decimal string such as'],
    ['a negative amount', { budget_usd: '-1' }, 'budget_usd', 'decimal string'],
    ['ten decimals', { budget_usd: '0.0000000001' }, 'budget_usd', 'nine decimals'],
    ['an exponent', { budget_usd: '1e3' }, 'budget_usd', 'decimal string'],
    ['an amount beyond what Redis computes exactly', { budget_usd: '9000001' }, 'budget_usd', 'too large'],
    ['an unknown field', { budged_usd: '1' }, 'budged_usd', 'unknown field'],
    ['an unknown field inside', { key_defaults: { rpm: 1 } }, 'key_defaults.rpm', 'unknown field'],
    ['no model', { models: [] }, 'models', 'at least one'],
    ['a slug that is none', { slug: 'No Slug' }, 'slug', 'small letters'],
    ['a name of nothing', { name: '  ' }, 'name', ''],
    ['a missing field', { name: undefined }, 'name', 'is required'],
    ['a threshold of no category', { moderation: { thresholds: { rudeness: 0.5 } } }, 'moderation.thresholds', ''],
    ['an origin with a path', { origins: ['https://example.org/a'] }, 'origins.0', 'origin'],
    ['a negative limit', { key_defaults: { limits: { rpm: -1 } } }, 'key_defaults.limits.rpm', ''],
  ])('refuses %s', async (_, fault, param, message) => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', {
      ...whole,
      slug: 'faulty',
      ...fault,
    });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: 'invalid_request', type: 'invalid_request_error' });
    expect(body.error.param).toContain(param);
    expect(body.error.message).toContain(message);
    expect((await accounting.admin('GET', '/admin/v1/campaigns/faulty')).status).toBe(404);
  });

  it('names every fault at once', async () => {
    const { body } = await accounting.admin('POST', '/admin/v1/campaigns', {
      slug: 'x',
      budget_usd: 1,
      models: [],
      colour: 'red',
    });
    expect(body.error.daypass.faults.map(({ path }: { path: string }) => path).toSorted()).toEqual([
      'budget_usd',
      'colour',
      'models',
      'name',
    ]);
  });

  it.each([
    ['not JSON', '{"slug":'],
    ['a list', '[]'],
    ['nothing', ''],
  ])('refuses %s as a body', async (_, text) => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', text);
    expect(status).toBe(400);
    expect(body.error.code).toBe('invalid_request');
  });

  it.each([
    ['a zero character', { name: 'a\0b' }, 'name'],
    ['half of a surrogate pair', { name: 'a\ud800b' }, 'name'],
    ['a claim page of an unknown field', { claim: { title: 'x', mode: 'code' } }, 'claim.mode'],
    ['a claim page of no fields', { claim: {} }, 'claim.title'],
    ['a logo from elsewhere', { claim: { title: 'x', logo: 'https://example.org/x.png' } }, 'claim.logo'],
    [
      'a logo of more than 32 kB',
      { claim: { title: 'x', logo: `data:image/png;base64,${'A'.repeat(43_800)}` } },
      'claim.logo',
    ],
    [
      'an address that runs a script',
      { claim: { title: 'x', project_url: 'javascript:alert(1)' } },
      'claim.project_url',
    ],
    ['a claim page that promises ever more', { claim: { title: 'x', overbook: 101 } }, 'claim.overbook'],
    ['a promise in thousandths', { claim: { title: 'x', overbook: 1.001 } }, 'claim.overbook'],
  ])('refuses %s', async (_, fault, param) => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', {
      ...whole,
      slug: 'zero',
      ...fault,
    });
    expect([status, body.error.param]).toEqual([400, param]);
  });

  it('of two at once with one slug creates one', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => accounting.admin('POST', '/admin/v1/campaigns', { ...whole, slug: 'race' })),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409, 409]);
  });
});

describe('GET and PATCH /admin/v1/campaigns/:slug', () => {
  it('shows a campaign with what its keys spent', async () => {
    await accounting.createCampaign('shown');
    const key = await accounting.createKey('shown', { budget_usd: '1.00' });
    await accounting.call(key, 'shown-1', 1_000_000_000n, 250_000_000n);
    await accounting.hold(key, 'shown-2', 500_000_000n);
    const { status, body } = await accounting.admin('GET', '/admin/v1/campaigns/shown');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      budget_usd: '10.00',
      spent_usd: '0.25',
      held_usd: '0.50',
      available_usd: '9.25',
      // Of the key's dollar.
      promised_usd: '0.25',
      keys: { total: 1, active: 1, suspended: 0, revoked: 0, expired: 0 },
    });
  });

  it('changes what it names and leaves the rest', async () => {
    const before = await accounting.createCampaign('changed', { moderation: { input: 'observe' } });
    const { status, body } = await accounting.admin('PATCH', '/admin/v1/campaigns/changed', {
      name: 'New',
      status: 'closed',
      models: ['gpt-5.4-nano'],
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      name: 'New',
      status: 'closed',
      models: ['gpt-5.4-nano'],
      budget_usd: '10.00',
      moderation: before.moderation,
      warnings: [],
    });
    expect(await accounting.redis.hmget(`{dp}:campaign:${before.id}`, 'status', 'models')).toEqual([
      'closed',
      '["gpt-5.4-nano"]',
    ]);
  });

  it('refuses a key in a closed campaign', async () => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'changed' });
    expect([status, body.error.code]).toEqual([409, 'conflict']);
  });

  it('refuses a budget below what is spent and held, and changes nothing', async () => {
    const { status, body } = await accounting.admin('PATCH', '/admin/v1/campaigns/shown', {
      budget_usd: '0.74',
      name: 'Other',
    });
    expect(status).toBe(409);
    expect(body.error).toMatchObject({
      code: 'conflict',
      param: 'budget_usd',
      daypass: { spent_usd: '0.25', held_usd: '0.50' },
    });
    expect((await accounting.admin('GET', '/admin/v1/campaigns/shown')).body).toMatchObject({
      budget_usd: '10.00',
      name: 'shown',
    });
  });

  it('lowers a budget down to what is used', async () => {
    const { status, body } = await accounting.admin('PATCH', '/admin/v1/campaigns/shown', { budget_usd: '0.75' });
    expect([status, body.available_usd]).toEqual([200, '0.00']);
  });

  it('answers 404 for an unknown one', async () => {
    for (const [method, path, body] of [
      ['GET', '/admin/v1/campaigns/nowhere', undefined],
      ['GET', '/admin/v1/campaigns/%00', undefined],
      ['PATCH', '/admin/v1/campaigns/nowhere', { name: 'x' }],
      ['POST', '/admin/v1/campaigns/nowhere/fund', { amount_usd: '1' }],
    ] as const) {
      const answer = await accounting.admin(method, path, body);
      expect([path, answer.status, answer.body.error.code]).toEqual([
        path,
        path.includes('%00') ? answer.status : 404,
        answer.status === 404 ? 'not_found' : 'invalid_request',
      ]);
    }
  });
});

describe('POST /admin/v1/campaigns/:slug/fund', () => {
  it('adds to the budget, once for each call, however many come at once', async () => {
    await accounting.createCampaign('funded');
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        accounting.admin('POST', '/admin/v1/campaigns/funded/fund', { amount_usd: '0.25' }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect((await accounting.admin('GET', '/admin/v1/campaigns/funded')).body.budget_usd).toBe('12.00');
  });

  it.each(['0', '0.00', '-1', '', ' 1', '1,5', 'NaN'])("refuses '%s'", async (amount) => {
    expect((await accounting.admin('POST', '/admin/v1/campaigns/funded/fund', { amount_usd: amount })).status).toBe(
      400,
    );
  });

  it('refuses what would make the budget too large', async () => {
    expect((await accounting.admin('POST', '/admin/v1/campaigns/funded/fund', { amount_usd: '9000000' })).status).toBe(
      409,
    );
  });
});

describe('GET /admin/v1/campaigns', () => {
  it('lists all of them by pages, newest first, each once', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await accounting.admin('GET', `/admin/v1/campaigns?limit=2${cursor ? `&cursor=${cursor}` : ''}`);
      seen.push(...body.data.map(({ slug }: { slug: string }) => slug));
      cursor = body.next_cursor;
    } while (cursor);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.at(-1)).toBe('whole');
    expect(seen).toContain('funded');
  });

  it.each(['limit=0', 'limit=201', 'limit=x', 'cursor=abc', 'page=2'])('refuses ?%s', async (query) => {
    expect((await accounting.admin('GET', `/admin/v1/campaigns?${query}`)).status).toBe(400);
  });
});

describe('the door', () => {
  it.each([
    ['no token', { authorization: '' }],
    ['a wrong token', { authorization: 'Bearer wrong' }],
    ['another scheme', { authorization: 'Basic admin-token-for-tests' }],
  ])('stays shut for %s', async (_, headers) => {
    const { status, body } = await accounting.admin('GET', '/admin/v1/campaigns', undefined, headers);
    expect(status).toBe(401);
    expect(body).toEqual({
      error: { message: expect.any(String), type: 'authentication_error', param: null, code: 'unauthorized' },
    });
  });

  it('answers an unknown path in the same shape', async () => {
    const { status, body } = await accounting.admin('GET', '/admin/v1/nothing');
    expect([status, body.error.code]).toEqual([404, 'not_found']);
  });

  it('answers another content type with 415', async () => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/campaigns', 'slug=x', {
      'content-type': 'application/x-yaml',
    });
    expect([status, body.error.code]).toEqual([415, 'unsupported_content_type']);
  });
});

describe('the docs', () => {
  it('describe every endpoint with the schema that is checked', async () => {
    const { body } = await accounting.admin('GET', '/admin/docs-json', undefined, { authorization: '' });
    expect(Object.keys(body.paths).toSorted()).toEqual([
      '/admin/v1/acts',
      '/admin/v1/acts/export',
      '/admin/v1/audit/verify',
      '/admin/v1/campaigns',
      '/admin/v1/campaigns/{slug}',
      '/admin/v1/campaigns/{slug}/fund',
      '/admin/v1/campaigns/{slug}/funnel',
      '/admin/v1/campaigns/{slug}/links',
      '/admin/v1/campaigns/{slug}/revoke-keys',
      '/admin/v1/campaigns/{slug}/spend',
      '/admin/v1/checks',
      '/admin/v1/checks/count',
      '/admin/v1/checks/export',
      '/admin/v1/claims',
      '/admin/v1/codes/void',
      '/admin/v1/door',
      '/admin/v1/keys',
      '/admin/v1/keys/batch',
      '/admin/v1/keys/bulk',
      '/admin/v1/keys/{id}',
      '/admin/v1/keys/{id}/reinstate',
      '/admin/v1/keys/{id}/revoke',
      '/admin/v1/keys/{id}/rotate',
      '/admin/v1/keys/{id}/strikes',
      '/admin/v1/keys/{id}/suspend',
      '/admin/v1/keys/{id}/transfers',
      '/admin/v1/lanes',
      '/admin/v1/ledger/verify',
      '/admin/v1/links/{id}',
      '/admin/v1/links/{id}/codes',
      '/admin/v1/links/{id}/test',
      '/admin/v1/moderation/replay',
      '/admin/v1/overview',
      '/admin/v1/policies/export',
      '/admin/v1/reconciliation',
      '/admin/v1/requests',
      '/admin/v1/requests/export',
      '/admin/v1/requests/{id}',
      '/admin/v1/requests/{id}/around',
      '/admin/v1/requests/{id}/open',
      '/admin/v1/requests/{id}/review',
      '/admin/v1/session',
      '/admin/v1/session/links',
      '/admin/v1/sessions',
      '/admin/v1/settings',
      '/admin/v1/statement/export',
      '/admin/v1/stream',
      '/admin/v1/visitors',
      '/admin/v1/visitors/{id}',
      '/admin/v1/visitors/{id}/block',
      '/admin/v1/visitors/{id}/erase',
      '/admin/v1/visitors/{id}/reinstate',
      '/admin/v1/visitors/{id}/revoke',
      '/admin/v1/visitors/{id}/strikes',
      '/admin/v1/visitors/{id}/suspend',
      '/admin/v1/visitors/{id}/unblock',
      '/admin/v1/waitlist',
      '/admin/v1/waitlist/invite',
    ]);
    const { schema } = body.paths['/admin/v1/campaigns'].post.requestBody.content['application/json'];
    expect(schema).toMatchObject({
      required: ['slug', 'name', 'budget_usd', 'models'],
      additionalProperties: false,
      properties: { budget_usd: { type: 'string' } },
    });
  });

  it.each([
    ['/admin/docs', 'text/html'],
    ['/admin/docs/start.js', 'text/javascript'],
    ['/admin/docs/swagger-ui-bundle.js', 'text/javascript'],
    ['/admin/docs/swagger-ui.css', 'text/css'],
  ])('serve %s', async (path, type) => {
    const { status, headers } = await accounting.admin('GET', path, undefined, { authorization: '' });
    expect([status, headers.get('content-type')?.startsWith(type)]).toEqual([200, true]);
  });
});
