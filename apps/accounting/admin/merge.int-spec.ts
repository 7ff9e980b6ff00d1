import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
});
afterAll(() => accounting.stop());

const strikes = { cooldown_after: 3, suspend_after: 5 };
const terms = {
  key_defaults: { budget_usd: '0.50', ttl_seconds: 3_600, limits: { rpm: 10, tpm: 900 } },
  moderation: { input: 'gate', output: 'window', thresholds: { violence: 0.6, hate: 0.5 }, strikes },
  tool_prices: { web_search: { usd_per_request: '0.025', input_tokens_per_request: 8_000 } },
};
let number = 0;
const campaign = (): Promise<{ id: string; slug: string }> => accounting.createCampaign(`merge-${++number}`, terms);
const patch = (path: string, body: unknown) => accounting.admin('PATCH', `/admin/v1/${path}`, body);
const policyOf = async (hash: string): Promise<unknown> => JSON.parse((await accounting.redis.hget(hash, 'policy'))!);

describe('PATCH of a campaign', () => {
  it('merges objects at every depth, also in Redis: what it does not name stays', async () => {
    const { slug, id } = await campaign();
    const { status, body } = await patch(`campaigns/${slug}`, {
      moderation: { output: 'trail', thresholds: { violence: 0.7 }, strikes: { suspend_after: 9 } },
      key_defaults: { limits: { rpm: 20 } },
      tool_prices: { web_search: { usd_per_request: '0.03' } },
    });
    expect(status).toBe(200);
    const moderation = {
      ...terms.moderation,
      output: 'trail',
      on_unavailable: 'closed',
      thresholds: { violence: 0.7, hate: 0.5 },
      strikes: { cooldown_after: 3, suspend_after: 9 },
    };
    expect(body).toMatchObject({
      moderation,
      key_defaults: { budget_usd: '0.50', ttl_seconds: 3_600, limits: { rpm: 20, tpm: 900 } },
      tool_prices: { web_search: { usd_per_request: '0.03', input_tokens_per_request: 8_000 } },
    });
    expect(await policyOf(redisKeys.campaign(id))).toEqual(moderation);
  });

  it('removes with null: a field, a whole object, or what has a default, which comes back', async () => {
    const { slug } = await campaign();
    await patch(`campaigns/${slug}`, { weight: 3, retention_days: 30, origins: ['https://example.org'] });
    const { body } = await patch(`campaigns/${slug}`, {
      moderation: { thresholds: { violence: null, 'sexual/minors': null }, strikes: null, output: null },
      key_defaults: { ttl_seconds: null, limits: { tpm: null } },
      tool_prices: null,
      weight: null,
      retention_days: null,
      origins: null,
      claim: null,
    });
    expect(body).toMatchObject({ tool_prices: {}, weight: 1, retention_days: null, origins: null, claim: null });
    expect(body.key_defaults).toEqual({ budget_usd: '0.50', limits: { rpm: 10 } });
    expect(body.moderation).toEqual({
      input: 'gate',
      output: 'gate',
      thresholds: { hate: 0.5 },
      on_unavailable: 'closed',
    });
    const gone = await patch(`campaigns/${slug}`, { moderation: null, key_defaults: null });
    expect(gone.body).toMatchObject({
      moderation: { input: 'gate', output: 'gate', thresholds: {} },
      key_defaults: {},
    });
  });

  it('replaces lists as a whole', async () => {
    const { slug } = await campaign();
    await patch(`campaigns/${slug}`, { moderation: { guards: ['a', 'b'] } });
    expect((await patch(`campaigns/${slug}`, { moderation: { guards: ['c'] } })).body.moderation.guards).toEqual(['c']);
  });

  it.each([
    ['a needed name', { name: null }, 'name', 'must not be null'],
    ['its models', { models: null }, 'models', 'must not be null'],
    ['its status', { status: null }, 'status', ''],
    ['its budget', { budget_usd: null }, 'budget_usd', 'decimal string'],
    [
      'what a part needs',
      { tool_prices: { web_search: { usd_per_request: null } } },
      'tool_prices.web_search.usd_per_request',
      'decimal string',
    ],
    ['an unknown part', { moderation: { speed: 1 } }, 'moderation.speed', 'unknown field'],
    ['an unknown part, by removing it', { moderation: { speed: null } }, 'moderation.speed', 'unknown field'],
    ['a claim', { claim: { link: 'x' } }, 'claim', 'does not hand out keys by claims yet'],
  ])('refuses %s, and changes nothing', async (_, body, param, message) => {
    const { slug } = await campaign();
    const read = async () => (await accounting.admin('GET', `/admin/v1/campaigns/${slug}`)).body as unknown;
    const before = await read();
    const answer = await patch(`campaigns/${slug}`, { ...body, weight: 7 });
    expect([answer.status, answer.body.error.param]).toEqual([400, param]);
    expect(answer.body.error.message).toContain(message);
    expect(await read()).toEqual(before);
  });

  it('leaves a claim that an earlier version stored', async () => {
    const { slug } = await campaign();
    await accounting.source.query(`UPDATE access.campaigns SET claim = '{"mode":"code"}' WHERE slug = $1`, [slug]);
    expect((await patch(`campaigns/${slug}`, { weight: 2 })).body.claim).toEqual({ mode: 'code' });
    expect((await patch(`campaigns/${slug}`, { claim: null })).body.claim).toBeNull();
  });
});

describe('PATCH of a key', () => {
  it('merges its policy and its limits; null brings the campaign back', async () => {
    const { slug } = await campaign();
    const moderation = { output: 'gate', thresholds: { hate: 0.1 } };
    const key = await accounting.createKey(slug, { limits: { concurrent: 4 }, moderation });
    const merged = await patch(`keys/${key.id}`, {
      limits: { rpm: 60 },
      moderation: { thresholds: { violence: 0.2 } },
    });
    expect(merged.body.limits).toEqual({ rpm: 60, tpm: 900, concurrent: 4, bytes_per_hour: 0 });
    expect(merged.body.moderation).toEqual({ output: 'gate', thresholds: { hate: 0.1, violence: 0.2 } });
    expect(await policyOf(redisKeys.key(key.id))).toMatchObject({ output: 'gate', thresholds: { violence: 0.2 } });
    const removed = await patch(`keys/${key.id}`, {
      limits: { rpm: null, concurrent: null },
      moderation: { output: null, thresholds: { hate: null } },
    });
    expect(removed.body.limits).toEqual({ rpm: 10, tpm: 900, concurrent: 0, bytes_per_hour: 0 });
    expect(removed.body.moderation).toEqual({ thresholds: { violence: 0.2 } });
    const gone = await patch(`keys/${key.id}`, { moderation: null, limits: null, label: null });
    expect(gone.body).toMatchObject({
      moderation: null,
      limits: { rpm: 10, tpm: 900, concurrent: 0, bytes_per_hour: 0 },
      label: '',
    });
    expect((await patch(`keys/${key.id}`, { budget_usd: null })).status).toBe(400);
  });
});

describe('the body of a write', () => {
  it('is an object, or absent where nothing is needed; null and lists are none', async () => {
    const { slug } = await campaign();
    const { id } = await accounting.createKey(slug);
    const writes = [
      ['POST', 'campaigns'],
      ['PATCH', `campaigns/${slug}`],
      ['POST', `campaigns/${slug}/fund`],
      ['POST', 'keys'],
      ['POST', 'keys/batch'],
      ['POST', 'keys/bulk'],
      ['PATCH', `keys/${id}`],
      ...['suspend', 'reinstate', 'rotate', 'revoke'].map((verb) => ['POST', `keys/${id}/${verb}`]),
      ['POST', `visitors/${id}/erase`],
    ] as [string, string][];
    for (const [method, path] of writes) {
      for (const body of ['null', '[]', '[{}]', '"note"', '1', 'true']) {
        const { status, body: told } = await accounting.admin(method, `/admin/v1/${path}`, body);
        expect([method, path, body, status]).toEqual([method, path, body, 400]);
        expect(told.error.message).toBe('the request body must be a JSON object, or absent');
      }
    }
    expect((await accounting.admin('GET', `/admin/v1/keys/${id}`)).body.status).toBe('active');
    expect((await accounting.admin('POST', `/admin/v1/keys/${id}/revoke`)).body.status).toBe('revoked');
  });
});
