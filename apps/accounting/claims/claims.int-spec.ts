import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatUsd, parseUsd } from '#libs/money/nano.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { AccountProjector } from '../accounts/account.projector.js';
import { promiseLimit } from '../domain/promise.js';
import { ask, claimable, createCodes, createLink, stateOf } from './claims.fixture.js';
import { ClaimReplacer } from '../desk/claim.replacer.js';
import { ClaimService } from './claim.service.js';

const RUNS = Number(process.env.CLAIM_PROPERTY_RUNS ?? 6);

let accounting: AccountingFixture;
let claims: ClaimService;
beforeAll(async () => {
  accounting = await AccountingFixture.start({
    DAYPASS_GITHUB_CLIENT_ID: 'Ov23',
    DAYPASS_GITHUB_CLIENT_SECRET: 'none',
  });
});
beforeEach(() => {
  claims = accounting.app.get(ClaimService);
});
afterAll(() => accounting.stop());

const claim = (link: { id: string }, code?: string) =>
  claims.claim(ask(accounting, link, code === undefined ? {} : { code }).request);
const keysOf = async (link: { id: string }): Promise<number> => {
  const [row] = await accounting.source.query<{ keys: number }[]>(
    'SELECT count(*)::int AS keys FROM access.keys WHERE link_id = $1',
    [link.id],
  );
  return row!.keys;
};
const refusal = (code: string, details: object = {}) => ({ code, details: expect.objectContaining(details) });

describe('a claim', () => {
  it('makes a key with the terms of its link, in force at once', async () => {
    const { slug, id: campaign } = await claimable(accounting);
    const link = await createLink(accounting, slug, { key: { limits: { tpm: 900 }, models: ['gpt-5.4-nano'] } });
    const { request } = ask(accounting, link);
    const before = Date.now();
    const claimed = await claims.claim(request);
    expect(claimed).toEqual({
      id: expect.stringMatching(/^key_[0-9A-Za-z]{20}$/),
      prefix: request.prefix,
      campaign: slug,
      budget_usd: '0.10',
      expires_at: expect.any(String),
      models: ['gpt-5.4-nano'],
      limits: { rpm: 20, tpm: 900, concurrent: 0, bytes_per_hour: 0 },
      repeated: false,
    });
    const livesMs = Date.parse(claimed.expires_at!) - before;
    expect(Math.abs(livesMs - 3_600_000)).toBeLessThan(5_000);
    expect(await accounting.redis.get(redisKeys.token(request.token_hash))).toBe(claimed.id);
    expect(await accounting.redis.hmget(redisKeys.key(claimed.id), 'campaign', 'budget', 'label')).toEqual([
      campaign,
      '100000000',
      '',
    ]);
    await accounting.until(async () => (await stateOf(accounting, link.token))!.claimed === 1);
    const [key] = (await accounting.admin('GET', `/admin/v1/keys?campaign=${slug}`)).body.data;
    expect(key).toMatchObject({ id: claimed.id, link: link.id, claimant: null });
    await accounting.drained();
    expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body.ok).toBe(true);
  });

  it('begins the time of its key with the first call where the campaign says so', async () => {
    const key_defaults = { budget_usd: '0.10', ttl_seconds: 60, ttl_from: 'first_use' };
    const { slug } = await claimable(accounting, { key_defaults });
    const { id, expires_at } = await claim(await createLink(accounting, slug));
    expect(expires_at).toBeNull();
    expect(await accounting.redis.hget(redisKeys.key(id), 'ttl_from_use_ms')).toBe('60000');
  });

  it.each([
    ['paused', { status: 'paused' }, 'link_paused', {}],
    [
      'not open yet',
      { starts_at: '2100-01-01T00:00:00Z' },
      'link_not_started',
      { starts_at: '2100-01-01T00:00:00.000Z' },
    ],
    ['over', { expires_at: '2020-01-01T00:00:00Z' }, 'link_ended', {}],
  ])('of a link that is %s is refused', async (_, terms, code, details) => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug, terms);
    await expect(claim(link)).rejects.toMatchObject({ code, ...(Object.keys(details).length > 0 ? { details } : {}) });
    expect(await keysOf(link)).toBe(0);
  });

  it('of an unknown link is refused', async () => {
    await expect(claim({ id: 'lnk_none' })).rejects.toMatchObject({ code: 'link_unknown' });
  });

  it('needs a code where the link asks for one: one of this link, free, within its time, and once', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug, { gates: ['code'] });
    const other = await createLink(accounting, slug, { gates: ['code'] });
    const [code, second] = await createCodes(accounting, link.id, { count: 2 });
    const [late] = await createCodes(accounting, link.id, { count: 1, expires_at: '2020-01-01T00:00:00Z' });
    const [elsewhere] = await createCodes(accounting, other.id, { count: 1 });
    await expect(claim(link)).rejects.toMatchObject(refusal('code_invalid', { why: 'unknown' }));
    await expect(claim(link, '0000-0000-0000')).rejects.toMatchObject(refusal('code_invalid', { why: 'unknown' }));
    await expect(claim(link, elsewhere)).rejects.toMatchObject(refusal('code_invalid', { why: 'unknown' }));
    await expect(claim(link, late)).rejects.toMatchObject(refusal('code_invalid', { why: 'expired' }));
    await claim(link, code);
    await expect(claim(link, code)).rejects.toMatchObject(refusal('code_invalid', { why: 'used' }));
    const both = await Promise.allSettled([claim(link, second), claim(link, second)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await keysOf(link)).toBe(2);
  });

  it('of 150 at once makes exactly as many keys as the link has (K1), and other links do not wait', async () => {
    const { slug } = await claimable(accounting, { budget_usd: '100.00' });
    const { slug: elsewhere } = await claimable(accounting);
    const [link, other] = [await createLink(accounting, slug), await createLink(accounting, elsewhere)];
    const all = Array.from({ length: 150 }, () => claim(link));
    const outcomes = Promise.allSettled(all);
    const first = await Promise.race([claim(other).then(() => 'other'), outcomes.then(() => 'all')]);
    expect(first).toBe('other');
    const refused = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    expect(refused).toHaveLength(50);
    for (const { reason } of refused) expect(reason).toMatchObject(refusal('claims_exhausted', { why: 'claims' }));
    expect(await keysOf(link)).toBe(100);
    expect((await accounting.admin('GET', `/admin/v1/links/${link.id}`)).body.claimed).toBe(100);
  });
});

describe('an identified claimant', () => {
  it('claims as often as the campaign says, also after its erasure and by another link (K2)', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug, { gates: ['code'] });
    const more = await createLink(accounting, slug, { gates: ['code'] });
    const labels = ['Ada Lovelace', ' ADA  lovelace', 'Grace'];
    const [one, two, grace] = await createCodes(accounting, link.id, { labels });
    const [three] = await createCodes(accounting, more.id, { labels: ['ada lovelace'] });
    const { id, prefix } = await claim(link, one);
    const already = refusal('already_claimed', { prefix, claimed_at: expect.any(String), replaceable: false });
    await expect(claim(link, two)).rejects.toMatchObject(already);
    await expect(claim(more, three)).rejects.toMatchObject(already);
    await claim(link, grace);
    const { claimant, label } = (await accounting.admin('GET', `/admin/v1/keys/${id}`)).body;
    expect([claimant, label]).toEqual([expect.stringMatching(/^vis_/), 'Ada Lovelace']);
    await accounting.admin('POST', `/admin/v1/keys/${id}/revoke`, {});
    expect((await accounting.admin('POST', `/admin/v1/visitors/${claimant}/erase`, {})).status).toBe(200);
    // Nobody finds the name any more, neither here nor in Redis.
    expect((await accounting.admin('GET', `/admin/v1/keys/${id}`)).body.label).toBe('');
    const used = (await accounting.admin('GET', `/admin/v1/links/${link.id}/codes`)).body.data as {
      key: string | null;
      label: string;
    }[];
    expect(used.find(({ key }) => key === id)!.label).toBe('');
    await accounting.until(async () => (await accounting.redis.hget(redisKeys.key(id), 'label')) === '');
    await expect(claim(link, two)).rejects.toMatchObject(already);
    // Another campaign knows the claimant, and has counted nothing.
    const another = await createLink(accounting, (await claimable(accounting)).slug, { gates: ['code'] });
    const [four] = await createCodes(accounting, another.id, { labels: ['Ada Lovelace'] });
    const again = (await claim(another, four)).id;
    expect((await accounting.admin('GET', `/admin/v1/keys/${again}`)).body.claimant).toBe(claimant);
  });

  it('by GitHub claims once at all links together, whatever comes at once, and gets another secret for a lost key (K2)', async () => {
    const { slug } = await claimable(accounting);
    const links = [
      await createLink(accounting, slug, { gates: ['github'] }),
      await createLink(accounting, slug, { gates: ['github'], name: 'other' }),
    ];
    const identity = { kind: 'github', subject: 'github:583231', label: 'octocat' } as const;
    const asked = Array.from({ length: 12 }, (_, n) => ask(accounting, links[n % 2]!, { identity }));
    const ended = await Promise.allSettled(asked.map(({ request }) => claims.claim(request)));
    const made = ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(made).toHaveLength(1);
    for (const one of ended)
      if (one.status === 'rejected')
        expect(one.reason).toMatchObject(refusal('already_claimed', { prefix: made[0]!.prefix, replaceable: true }));
    const { claimant, link } = (await accounting.admin('GET', `/admin/v1/keys/${made[0]!.id}`)).body;
    expect((await accounting.admin('GET', `/admin/v1/visitors/${claimant}`)).body).toMatchObject({
      kind: 'github',
      label: 'octocat',
    });

    const replacer = accounting.app.get(ClaimReplacer);
    const other = links.find(({ id }) => id !== link)!;
    const { request } = ask(accounting, other);
    const { token_hash, prefix } = request;
    const wish = { kind: 'claim.replace', link: other.id, token_hash, prefix, identity } as const;
    expect(await replacer.replace(wish)).toMatchObject({ id: made[0]!.id, prefix });
    expect(await replacer.replace(wish)).toMatchObject({ id: made[0]!.id, prefix });
    expect(await accounting.redis.get(redisKeys.token(token_hash))).toBe(made[0]!.id);
    const stranger = { ...identity, subject: 'github:1' };
    const nothing = refusal('claim_refused', { why: 'nothing_to_replace' });
    await expect(replacer.replace({ ...wish, identity: stranger })).rejects.toMatchObject(nothing);
    await accounting.admin('POST', `/admin/v1/keys/${made[0]!.id}/revoke`, {});
    await expect(replacer.replace(wish)).rejects.toMatchObject(nothing);
    const ofMail = { kind: 'email', subject: 'email:a@b.example', label: 'a@b.example' } as const;
    for (const who of [null, ofMail])
      await expect(claims.claim(ask(accounting, other, { identity: who }).request)).rejects.toMatchObject(
        refusal('identity_required', { gate: 'github' }),
      );
  });

  it('claims no more while its erasure waits: with a key in use nobody could erase it', async () => {
    const [link, other] = [
      await createLink(accounting, (await claimable(accounting)).slug, { gates: ['code'] }),
      await createLink(accounting, (await claimable(accounting)).slug, { gates: ['code'] }),
    ];
    const [one] = await createCodes(accounting, link.id, { labels: ['Katherine'] });
    const [two] = await createCodes(accounting, other.id, { labels: ['Katherine'] });
    const { claimant } = (await accounting.admin('GET', `/admin/v1/keys/${(await claim(link, one)).id}`)).body;
    await accounting.source.query(
      `INSERT INTO access.erasures (visitor_id, asked_at, due_at, next_at) VALUES ($1, now(), now() + interval '30 days', now() + interval '1 day')`,
      [claimant],
    );
    await expect(claim(other, two)).rejects.toMatchObject(refusal('claim_refused', { why: 'erasure', contact: null }));
    await accounting.source.query('DELETE FROM access.erasures WHERE visitor_id = $1', [claimant]);
    expect((await claim(other, two)).id).toMatch(/^key_/);
  });

  it('may claim again after the time that the campaign sets', async () => {
    const { slug } = await claimable(accounting, { claim: { title: 'x', per_claimant: 2, renew_after_seconds: 60 } });
    const link = await createLink(accounting, slug, { gates: ['code'] });
    const codes = await createCodes(accounting, link.id, { labels: Array(4).fill('Ada') });
    for (const code of codes.slice(0, 2)) await claim(link, code);
    await expect(claim(link, codes[2])).rejects.toMatchObject(refusal('already_claimed'));
    await accounting.source.query(
      `UPDATE access.claims SET at = at - interval '61 seconds' WHERE id = (SELECT id FROM access.claims WHERE link_id = $1 ORDER BY at LIMIT 1)`,
      [link.id],
    );
    await claim(link, codes[2]);
    await expect(claim(link, codes[3])).rejects.toMatchObject(refusal('already_claimed'));
  });

  it('claims no more once it is blocked', async () => {
    const { slug } = await claimable(accounting, { claim: { title: 'x', per_claimant: 5, contact: 'us@example.org' } });
    const link = await createLink(accounting, slug, { gates: ['code'] });
    const [one, two] = await createCodes(accounting, link.id, { labels: ['Mallory', 'Mallory'] });
    const { id } = await claim(link, one);
    const { claimant } = (await accounting.admin('GET', `/admin/v1/keys/${id}`)).body;
    await accounting.source.query('UPDATE access.claimants SET blocked_at = now() WHERE id = $1', [claimant]);
    await expect(claim(link, two)).rejects.toMatchObject(refusal('claim_refused', { contact: 'us@example.org' }));
  });
});

describe('what a campaign promises', () => {
  /** As an auditor adds it up, without the code of claims. */
  async function promisedNano(campaignId: string): Promise<bigint> {
    const [row] = await accounting.source.query<{ nano: string }[]>(
      `SELECT coalesce(sum(k.budget_nano - coalesce(b.spent_nano, 0)) FILTER (WHERE k.status <> 'revoked'), 0)
              + coalesce((SELECT spent_nano FROM ledger.balances WHERE owner = 'campaign:' || $1), 0) AS nano
         FROM access.keys k LEFT JOIN ledger.balances b ON b.owner = 'key:' || k.id WHERE k.campaign_id = $1`,
      [campaignId],
    );
    return BigInt(row!.nano);
  }

  it('never exceeds its budget times what it may overbook, whatever its links claim at once (K3)', async () => {
    let round = 0;
    const cents = fc.integer({ min: 1, max: 60 });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 10, max: 300 }),
        fc.integer({ min: 100, max: 250 }),
        fc.array(fc.record({ budget: cents, most: fc.integer({ min: 1, max: 8 }) }), { minLength: 1, maxLength: 3 }),
        fc.array(fc.constantFrom('claims', 'spend', 'revoke', 'fund'), { minLength: 3, maxLength: 6 }),
        async (budgetCents, overbookPercent, links, acts) => {
          const usd = (many: number) => formatUsd(parseUsd('0.01') * BigInt(many));
          const { slug, id } = await claimable(accounting, {
            budget_usd: usd(budgetCents),
            claim: { title: 'x', overbook: overbookPercent / 100 },
          });
          const made: { id: string }[] = [];
          for (const { budget, most } of links.filter(({ budget }) => budget <= budgetCents))
            made.push(await createLink(accounting, slug, { key: { budget_usd: usd(budget) }, max_claims: most }));
          const keys: { id: string }[] = [];
          let budgetNano = parseUsd(usd(budgetCents));
          for (const act of acts) {
            const [key] = keys;
            if (act === 'claims') {
              const asked = made.flatMap((link) => [claim(link), claim(link)]);
              for (const outcome of await Promise.allSettled(asked))
                if (outcome.status === 'fulfilled') keys.push(outcome.value);
                else expect(outcome.reason).toMatchObject({ code: 'claims_exhausted' });
            } else if (act === 'spend' && key) {
              await accounting.call(key, `claim-k3-${++round}`, 2_000_000n, 1_000_000n);
              await accounting.drained();
            } else if (act === 'revoke' && key) {
              keys.shift();
              await accounting.admin('POST', `/admin/v1/keys/${key.id}/revoke`, {});
            } else if (act === 'fund') {
              await accounting.admin('POST', `/admin/v1/campaigns/${slug}/fund`, { amount_usd: '0.07' });
              budgetNano += 70_000_000n;
            }
            expect(await promisedNano(id)).toBeLessThanOrEqual(promiseLimit(budgetNano, overbookPercent / 100));
          }
          for (const link of made) expect(await keysOf(link)).toBeLessThanOrEqual(8);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('is used to the last key', async () => {
    const { slug } = await claimable(accounting, { budget_usd: '0.30', claim: { title: 'x', overbook: 1.34 } });
    const links = [await createLink(accounting, slug), await createLink(accounting, slug)];
    const outcomes = await Promise.allSettled(links.flatMap((link) => Array.from({ length: 5 }, () => claim(link))));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
  });
});

describe('a claim that comes again', () => {
  it('gets the key of the first time, and no second booking', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug, { max_claims: 1 });
    const { request } = ask(accounting, link);
    const outcomes = await Promise.all([claims.claim(request), claims.claim(request), claims.claim(request)]);
    expect(outcomes.filter(({ repeated }) => repeated)).toHaveLength(2);
    expect(new Set(outcomes.map(({ id }) => id)).size).toBe(1);
    const bookings = (await accounting.admin('GET', `/admin/v1/keys/${outcomes[0]!.id}/transfers`)).body.data;
    expect(bookings).toHaveLength(1);
    expect(await keysOf(link)).toBe(1);
  });

  it('with another virtual key gets none: the first answer showed it', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const { request } = ask(accounting, link);
    const { prefix } = await claims.claim(request);
    const again = ask(accounting, link, { claim: request.claim }).request;
    await expect(claims.claim(again)).rejects.toMatchObject(refusal('already_claimed', { prefix }));
    expect(await keysOf(link)).toBe(1);
  });

  it('brings a key into force that Redis did not take at first', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const { request } = ask(accounting, link);
    const projector = accounting.app.get(AccountProjector);
    const project = projector.project.bind(projector);
    let refuses = true;
    projector.project = (accounts) => (refuses ? Promise.reject(new Error('away')) : project(accounts));
    try {
      await expect(claims.claim(request)).rejects.toMatchObject({ code: 'not_projected' });
      refuses = false;
      const { id, repeated } = await claims.claim(request);
      expect([repeated, await accounting.redis.get(redisKeys.token(request.token_hash))]).toEqual([true, id]);
    } finally {
      projector.project = project;
    }
  });
});
