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
    ['a claim page of a field that none has', { claim: { title: 'Try it', link: 'x' } }, 'claim.link', 'unknown field'],
    ['a claim page without a title', { claim: { text: 'x' } }, 'claim.title', 'is required'],
    ["a claim page's title, by removing it", { claim: { title: null } }, 'claim.title', 'must not be null'],
    ['a waitlist without mails', { claim: { title: 'Try it', waitlist: true } }, 'claim.waitlist', 'DAYPASS_SMTP_URL'],
  ])('refuses %s, and changes nothing', async (_, body, param, message) => {
    const { slug } = await campaign();
    const read = async () => (await accounting.admin('GET', `/admin/v1/campaigns/${slug}`)).body as unknown;
    const before = await read();
    const answer = await patch(`campaigns/${slug}`, { ...body, weight: 7 });
    // What a setting lacks is no fault of the request.
    expect([answer.status, answer.body.error.param]).toEqual([message.startsWith('DAYPASS_') ? 409 : 400, param]);
    expect(answer.body.error.message).toContain(message);
    expect(await read()).toEqual(before);
  });

  it('merges its claim page', async () => {
    const { slug } = await campaign();
    const snippet = { label: 'Shell', text: 'export KEY={key}\n' };
    const first = (await patch(`campaigns/${slug}`, { claim: { title: 'Try it', snippet, overbook: 1.5 } })).body.claim;
    const defaults = { text: '', logo: null, per_claimant: 1, renew_after_seconds: null, claims_per_hour: 100 };
    expect(first).toMatchObject({ ...defaults, title: 'Try it', overbook: 1.5, waitlist: false });
    const second = await patch(`campaigns/${slug}`, { claim: { text: 'two\nlines', snippet: { label: 'sh' } } });
    expect(second.body.claim).toEqual({
      ...first,
      text: 'two\nlines',
      snippet: { label: 'sh', text: 'export KEY={key}' },
    });
    expect((await patch(`campaigns/${slug}`, { claim: { overbook: null, snippet: null } })).body.claim).toMatchObject({
      overbook: 1,
      snippet: null,
    });
    expect((await patch(`campaigns/${slug}`, { claim: null })).body.claim).toBeNull();
  });
});
