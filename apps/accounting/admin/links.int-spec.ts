import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { z } from 'zod';
import { pageOfAnswers } from '#libs/contracts/admin/answers.js';
import { claimAnswer, codeAnswer, linkAnswer, linkTestAnswer, newCodesAnswer } from '#libs/contracts/admin/claims.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { ask, claimable, createCodes, createLink, stateOf } from '../claims/claims.fixture.js';
import { ClaimService } from '../claims/claim.service.js';
import { LinkWatch } from '../claims/link.watch.js';
import { RedisRebuild } from '../recovery/redis.rebuild.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start({ DAYPASS_PUBLIC_URL: 'https://try.example.org' });
});
afterAll(() => accounting.stop());

const admin = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
  accounting.admin(method, `/admin/v1/${path}`, body, headers);
const claim = (link: { id: string }, code?: string) =>
  accounting.app.get(ClaimService).claim(ask(accounting, link, code === undefined ? {} : { code }).request);

describe('a claim link', () => {
  it('has the defaults of its campaign, an address of its own, and a state for visitors', async () => {
    const { slug, id: campaign } = await claimable(accounting, {
      claim: { title: 'Try it', contact: 'us@example.org' },
    });
    const link = await createLink(accounting, slug);
    expect(linkAnswer.parse(link)).toMatchObject({
      campaign: slug,
      name: 'README',
      status: 'open',
      gates: ['pow'],
      key: { budget_usd: '0.10', ttl_seconds: 3_600, limits: { rpm: 20 }, models: null },
      max_claims: 100,
      claimed: 0,
      opened: 0,
      per_ip_per_day: 3,
      origins: [],
      redirect_uris: [],
      warnings: [],
    });
    expect(link.token).toMatch(/^[0-9A-Za-z]{12}$/);
    expect(link.url).toBe(`https://try.example.org/c/${link.token}`);
    expect(await stateOf(accounting, link.token)).toMatchObject({
      id: link.id,
      campaign,
      slug,
      status: 'open',
      claimed: 0,
      starts_ms: 0,
      claims_per_hour: 100,
      budget_gone: false,
      page: { title: 'Try it', contact: 'us@example.org', logo: null },
    });
    const { warnings: _, ...read } = link;
    expect((await admin('GET', `links/${link.id}`)).body).toEqual(read);
    const listed = (await admin('GET', `campaigns/${slug}/links`)).body;
    expect(pageOfAnswers(linkAnswer).safeParse(listed).error).toBeUndefined();
    expect(listed).toEqual({ data: [read], next_cursor: null });
  });

  it('may have a name as its token, once', async () => {
    const { slug } = await claimable(accounting);
    expect((await createLink(accounting, slug, { token: 'spring-2027' })).url).toMatch(/\/c\/spring-2027$/);
    const again = await admin('POST', `campaigns/${slug}/links`, { name: 'x', token: 'spring-2027' });
    expect([again.status, again.body.error.param]).toEqual([409, 'token']);
  });

  it.each([
    ['no name', { name: undefined }, 'name', 'is required'],
    ['a token of two characters', { token: 'ab' }, 'token', '3 to 63'],
    ['a token of large letters', { token: 'Spring' }, 'token', '3 to 63'],
    ['a gate that nobody set up', { gates: ['github'] }, 'gates', 'DAYPASS_GITHUB_CLIENT_ID'],
    ['the other gate that nobody set up', { gates: ['email'] }, 'gates', 'DAYPASS_SMTP_URL'],
    ['a domain that is none', { email: { domains: ['jane@acme.example'] } }, 'email.domains.0', 'must be a domain'],
    ['an age that is none', { github: { min_account_age_days: -1 } }, 'github.min_account_age_days', ''],
    ['an unknown gate', { gates: ['dna'] }, 'gates.0', 'a proof of work'],
    ['two gates', { gates: ['pow', 'code'] }, 'gates', 'exactly one gate'],
    ['no gate', { gates: [] }, 'gates', 'exactly one gate'],
    ['no claims', { max_claims: 0 }, 'max_claims', ''],
    ['too many claims', { max_claims: 100_001 }, 'max_claims', ''],
    ['too many claims of an address', { per_ip_per_day: 1_001 }, 'per_ip_per_day', ''],
    [
      'an end before its begin',
      { starts_at: '2027-01-02T00:00:00Z', expires_at: '2027-01-01T00:00:00Z' },
      'expires_at',
      'after starts_at',
    ],
    ['an origin with a path', { origins: ['https://example.org/x'] }, 'origins.0', 'must be an origin'],
    ['a fragment of an app', { redirect_uris: ['https://a.example/#x'] }, 'redirect_uris.0', 'must be an address such'],
    ['any port elsewhere', { redirect_uris: ['https://a.example:*'] }, 'redirect_uris.0', 'must be an address such'],
    ['a model of another campaign', { key: { models: ['gpt-4.1'] } }, 'key.models', 'is not a model of the campaign'],
    ['more than the campaign has', { key: { budget_usd: '10.01' } }, 'key.budget_usd', 'more than the budget'],
    ['keys of nothing', { key: { budget_usd: '0' } }, 'key.budget_usd', 'more than 0'],
    ['an unknown field', { colour: 'red' }, 'colour', 'unknown field'],
  ])('is refused with %s', async (_, terms, param, message) => {
    const { slug } = await claimable(accounting);
    const { status, body } = await admin('POST', `campaigns/${slug}/links`, { name: 'x', ...terms });
    // What a setting lacks is no fault of the request.
    expect([status, body.error.param]).toEqual([message.startsWith('DAYPASS_') ? 409 : 400, param]);
    expect(body.error.message).toContain(message);
    expect((await admin('GET', `campaigns/${slug}/links`)).body.data).toEqual([]);
  });

  it('needs a budget where its campaign names none for its keys', async () => {
    const { slug } = await claimable(accounting, { key_defaults: {} });
    const { status, body } = await admin('POST', `campaigns/${slug}/links`, { name: 'x' });
    expect([status, body.error.param]).toEqual([400, 'key.budget_usd']);
    const link = await createLink(accounting, slug, { key: { budget_usd: '0.2' } });
    expect(link.key).toEqual({ budget_usd: '0.20', ttl_seconds: null, limits: {}, models: null });
  });

  it('changes what a request names, and nothing else, at once for visitors', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug, { key: { limits: { tpm: 9 } } });
    const { status, body } = await admin('PATCH', `links/${link.id}`, {
      status: 'paused',
      key: { ttl_seconds: null, limits: { rpm: 5 }, models: ['gpt-5.4-nano'] },
      starts_at: '2027-01-01T00:00:00Z',
    });
    expect(status).toBe(200);
    const key = { budget_usd: '0.10', ttl_seconds: null, limits: { rpm: 5, tpm: 9 }, models: ['gpt-5.4-nano'] };
    expect(body).toMatchObject({ name: 'README', status: 'paused', key, starts_at: '2027-01-01T00:00:00.000Z' });
    expect(await stateOf(accounting, link.token)).toMatchObject({
      status: 'paused',
      key,
      starts_ms: Date.UTC(2027, 0, 1),
    });
    const late = await admin('PATCH', `links/${link.id}`, { expires_at: '2026-12-31T00:00:00Z' });
    expect([late.status, late.body.error.param]).toEqual([400, 'expires_at']);
    const freed = await admin('PATCH', `links/${link.id}`, { starts_at: null, expires_at: '2028-01-01T00:00:00Z' });
    expect(freed.body).toMatchObject({ starts_at: null, expires_at: '2028-01-01T00:00:00.000Z', status: 'paused' });
    expect((await admin('PATCH', 'links/lnk_x', {})).status).toBe(404);
  });

  it('keeps at least as many claims as there were', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    await claim(link);
    await claim(link);
    const { status, body } = await admin('PATCH', `links/${link.id}`, { max_claims: 1 });
    expect([status, body.error.code, body.error.param]).toEqual([409, 'conflict', 'max_claims']);
    expect((await admin('PATCH', `links/${link.id}`, { max_claims: 2 })).body).toMatchObject({ claimed: 2 });
  });

  it('ends by DELETE, and stays as an ended link', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    expect((await admin('DELETE', `links/${link.id}`)).body.status).toBe('closed');
    expect((await stateOf(accounting, link.token))!.status).toBe('closed');
    await expect(claim(link)).rejects.toMatchObject({ code: 'link_ended' });
    expect((await admin('GET', `links/${link.id}`)).status).toBe(200);
  });

  it('follows its campaign: texts, slug and end, and the budget that its keys promise', async () => {
    const { slug } = await claimable(accounting, { budget_usd: '0.25' });
    const link = await createLink(accounting, slug);
    expect(link.warnings).toEqual([expect.stringContaining('covers 2 more keys')]);
    const seen = (want: object) =>
      accounting.until(async () => {
        const state = await stateOf(accounting, link.token);
        return JSON.stringify({ ...state, ...want }) === JSON.stringify(state);
      });
    await admin('PATCH', `campaigns/${slug}`, { claim: { title: 'New title', claims_per_hour: 7 } });
    await seen({ claims_per_hour: 7 });
    expect((await stateOf(accounting, link.token))!.page.title).toBe('New title');
    const { id } = await claim(link);
    await seen({ claimed: 1, budget_gone: false });
    await claim(link);
    await seen({ claimed: 2, budget_gone: true });
    await expect(claim(link)).rejects.toMatchObject({ code: 'claims_exhausted', details: { why: 'budget' } });
    await admin('POST', `campaigns/${slug}/fund`, { amount_usd: '0.05' });
    await seen({ budget_gone: false });
    await claim(link);
    await seen({ claimed: 3, budget_gone: true });
    // The revoked key returns its budget. No change of a link says so.
    await admin('POST', `keys/${id}/revoke`, {});
    await accounting.until(async () => (await admin('GET', `keys/${id}`)).body.returned_usd === '0.10');
    await accounting.app.get(LinkWatch).watchBudgets();
    await seen({ budget_gone: false });
    await admin('PATCH', `campaigns/${slug}`, { status: 'closed' });
    await seen({ status: 'closed' });
    await expect(claim(link)).rejects.toMatchObject({ code: 'link_ended' });
    await admin('PATCH', `campaigns/${slug}`, { status: 'active' });
    await seen({ status: 'open' });
  });

  it('comes back after a loss of Redis, and beats a version that a lost Postgres knew', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const before = await stateOf(accounting, link.token);
    await accounting.redis.del(redisKeys.link(link.token));
    await accounting.app.get(RedisRebuild).run();
    expect(await stateOf(accounting, link.token)).toEqual(before);

    await accounting.redis.set(redisKeys.link(link.token), JSON.stringify({ ...before, version: 50, claimed: 9 }));
    await admin('PATCH', `links/${link.id}`, { name: 'Another' });
    await accounting.until(async () => (await stateOf(accounting, link.token))!.claimed === 0);
    expect((await stateOf(accounting, link.token))!.version).toBeGreaterThan(50);
  });

  it('is made once under one Idempotency-Key', async () => {
    const { slug } = await claimable(accounting);
    const post = () => admin('POST', `campaigns/${slug}/links`, { name: 'x' }, { 'idempotency-key': `link-${slug}` });
    const [first, second] = [await post(), await post()];
    expect(second.body).toEqual(first.body);
    expect((await admin('GET', `campaigns/${slug}/links`)).body.data).toHaveLength(1);
  });
});

describe('codes', () => {
  const workshop = async (terms: object = {}) => {
    const { slug } = await claimable(accounting);
    return createLink(accounting, slug, { gates: ['code'], ...terms });
  };

  it('are shown once, as people type them and as addresses, also as a table', async () => {
    const link = await workshop();
    const made = await admin('POST', `links/${link.id}/codes`, { labels: ['Ada', '=1+1'], expires_at: null });
    expect(made.status).toBe(201);
    const [ada] = newCodesAnswer.parse(made.body).data;
    expect(ada).toMatchObject({ label: 'Ada', code: expect.stringMatching(/^\w{4}-\w{4}-\w{4}$/), expires_at: null });
    expect(ada!.url).toBe(`${link.url}#code=${ada!.code.replaceAll('-', '')}`);
    const listed = pageOfAnswers(codeAnswer).parse((await admin('GET', `links/${link.id}/codes`)).body);
    expect(listed.data.map(({ label, status }) => `${label} ${status}`).sort()).toEqual(['=1+1 free', 'Ada free']);
    expect(JSON.stringify(listed)).not.toContain(ada!.code.slice(0, 4));
    const csv = await admin('POST', `links/${link.id}/codes`, { labels: ['=1+1'] }, { accept: 'text/csv' });
    expect(csv.body).toMatch(/^id,label,code,url,expires_at\ncod_\w{20},'=1\+1,(\w{4}-?){3},https:\S+#code=\w{12},\n$/);
  });

  it.each([
    ['neither a count nor labels', {}, 400, 'count'],
    ['a count that is not that of the labels', { count: 3, labels: ['a'] }, 400, 'count'],
    ['more than 1,000', { count: 1_001 }, 400, 'count'],
    ['a time without a zone', { count: 1, expires_at: '2027-01-01' }, 400, 'expires_at'],
  ])('are refused with %s', async (_, request, status, param) => {
    const link = await workshop();
    const answer = await admin('POST', `links/${link.id}/codes`, request);
    expect([answer.status, answer.body.error.param]).toEqual([status, param]);
  });

  it('need a link that asks for them', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const { status, body } = await admin('POST', `links/${link.id}/codes`, { count: 1 });
    expect([status, body.error.param]).toEqual([409, 'gates']);
    expect((await admin('POST', 'links/lnk_none/codes', { count: 1 })).status).toBe(404);
  });

  it('are voided one by one, or all that nobody used', async () => {
    const link = await workshop();
    const codes = await createCodes(accounting, link.id, { count: 4 });
    await claim(link, codes[0]);
    const rows = async () => (await admin('GET', `links/${link.id}/codes`)).body.data as z.output<typeof codeAnswer>[];
    const used = (await rows()).find(({ status }) => status === 'used')!;
    expect(used.key).toMatch(/^key_/);
    const free = (await rows()).find(({ status }) => status === 'free')!;
    expect((await admin('POST', 'codes/void', { ids: [used.id, free.id, 'cod_x'] })).body).toEqual({
      data: { voided: 1 },
    });
    expect((await admin('POST', 'codes/void', { link: link.id, unused: true })).body).toEqual({ data: { voided: 2 } });
    expect((await rows()).map(({ status }) => status).sort()).toEqual(['used', 'voided', 'voided', 'voided']);
    await expect(claim(link, codes[3])).rejects.toMatchObject({ code: 'code_invalid', details: { why: 'voided' } });
    for (const wrong of [{}, { link: link.id }, { ids: ['x'], link: link.id, unused: true }, { unused: true }])
      expect((await admin('POST', 'codes/void', wrong)).status).toBe(400);
    expect((await admin('POST', 'codes/void', { link: 'lnk_x', unused: true })).status).toBe(404);
  });
});

describe('the list of claims', () => {
  it('has who claimed what, by campaign, link, claimant and time', async () => {
    const { slug } = await claimable(accounting);
    const open = await createLink(accounting, slug);
    const workshop = await createLink(accounting, slug, { gates: ['code'], name: 'Workshop' });
    const [code] = await createCodes(accounting, workshop.id, { labels: ['Grace'] });
    const first = await claim(open);
    const second = await claim(workshop, code);
    const list = async (query: string) =>
      pageOfAnswers(claimAnswer).parse((await admin('GET', `claims?${query}`)).body).data;
    const all = await list(`campaign=${slug}`);
    expect(all.map(({ key, kind, link_name }) => [key, kind, link_name])).toEqual([
      [second.id, 'code', 'Workshop'],
      [first.id, 'pow', 'README'],
    ]);
    expect(all[0]).toMatchObject({
      claimant: expect.stringMatching(/^vis_/),
      key_prefix: second.prefix,
      campaign: slug,
    });
    expect(all[1]!.claimant).toBeNull();
    expect(await list(`link=${open.id}`)).toEqual([all[1]]);
    expect(await list(`claimant=${all[0]!.claimant}`)).toEqual([all[0]]);
    expect(await list(`campaign=${slug}&since=2100-01-01T00:00:00Z`)).toEqual([]);
    const page = (await admin('GET', `claims?campaign=${slug}&limit=1`)).body;
    expect((await admin('GET', `claims?campaign=${slug}&limit=1&cursor=${page.next_cursor}`)).body.data).toEqual([
      all[1],
    ]);
  });
});

describe('the test of a link', () => {
  const test = async (id: string) => linkTestAnswer.parse((await admin('POST', `links/${id}/test`, {})).body).data;
  const failing = ({ steps }: Awaited<ReturnType<typeof test>>) =>
    steps.filter(({ ok }) => !ok).map(({ name }) => name);

  it('takes the way of a claim, and leaves nothing', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const count = () =>
      accounting.source.query(
        'SELECT (SELECT count(*) FROM access.keys) AS keys, (SELECT count(*) FROM access.claims) AS claims, (SELECT sum(claimed) FROM access.claim_links) AS claimed',
      );
    const before: unknown = await count();
    expect(await test(link.id)).toMatchObject({ ok: true });
    const once = await admin('POST', `links/${link.id}/test`, {}, { 'idempotency-key': `test-${slug}` });
    expect(once.body.data.ok).toBe(true);
    expect(await count()).toEqual(before);
  });

  it('names what keeps visitors from a key', async () => {
    const { slug } = await claimable(accounting, { budget_usd: '0.10' });
    const link = await createLink(accounting, slug, { gates: ['code'] });
    expect(failing(await test(link.id))).toEqual(['codes']);
    const [code] = await createCodes(accounting, link.id, { count: 2 });
    expect(failing(await test(link.id))).toEqual([]);
    await claim(link, code);
    await admin('PATCH', `links/${link.id}`, { status: 'paused', max_claims: 1 });
    await accounting.redis.set(redisKeys.doorSwitch, 'shut');
    try {
      expect(failing(await test(link.id))).toEqual(['link', 'budget', 'door', 'key']);
    } finally {
      await accounting.redis.del(redisKeys.doorSwitch);
    }
    await accounting.source.query(`UPDATE access.claim_links SET gates = '["email"]' WHERE id = $1`, [link.id]);
    const unset = (await test(link.id)).steps.find(({ name }) => name === 'gate');
    expect(unset).toMatchObject({ ok: false, text: expect.stringContaining('DAYPASS_SMTP_URL') });
    expect((await admin('POST', 'links/lnk_x/test', {})).status).toBe(404);
  });
});

describe('a key of a claimant', () => {
  it('has one claimant in all campaigns, however the name is written', async () => {
    const [one, two] = [await claimable(accounting), await claimable(accounting)];
    const names = [
      [one.slug, 'Ada  Lovelace'],
      [two.slug, ' ada lovelace '],
      [two.slug, 'Ada King'],
    ];
    const keys: { id: string }[] = [];
    for (const [slug, claimant] of names) keys.push(await accounting.createKey(slug!, { claimant }));
    await admin('POST', 'keys/batch', { campaign: one.slug, count: 2, claimant: 'ADA LOVELACE' });
    const rows = await accounting.source.query<{ id: string; claimant_id: string }[]>(
      'SELECT id, claimant_id FROM access.keys WHERE campaign_id = ANY ($1)',
      [[one.id, two.id]],
    );
    const of = (id: string) => rows.find((row) => row.id === id)!.claimant_id;
    expect(of(keys[0]!.id)).toMatch(/^vis_\w{20}$/);
    expect(of(keys[1]!.id)).toBe(of(keys[0]!.id));
    expect(of(keys[2]!.id)).not.toBe(of(keys[0]!.id));
    expect(rows.filter(({ claimant_id }) => claimant_id === of(keys[0]!.id))).toHaveLength(4);
    const [claimant] = await accounting.source.query<{ row: string }[]>(
      'SELECT row_to_json(c)::text AS row FROM access.claimants c WHERE id = $1',
      [of(keys[0]!.id)],
    );
    expect(claimant!.row.toLowerCase()).not.toContain('lovelace');
  });
});
