import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { CheckEvent, RequestEvent } from '#libs/contracts/audit.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { AccountingFixture, type AdminAnswer } from '../accounting.fixture.js';
import { HOLDER, runAs } from '../actor.js';
import { isRecordUpToDate } from '../record/audit.stream.js';
import { OpenedCalls } from '../record/opened.calls.js';
import { ReviewQueue } from '../record/review.queue.js';
import { VisitorVault } from '../record/visitor.vault.js';
import { RedisRebuild } from '../recovery/redis.rebuild.js';
import { AccountProjector } from './account.projector.js';
import { HolderErasure } from './holder.erasure.js';
import { KeyService } from './key.service.js';
import { VisitorActs } from './visitor.acts.js';
import { Key } from '../store/entities/key.entity.js';

const policy = { input: 'gate', output: 'gate', thresholds: { violence: 0.6 }, onUnavailable: 'closed' } as const;
const STRIKES = { cooldownAfter: 2, cooldownMs: 600_000, suspendAfter: 3, windowMs: 86_400_000 };

let accounting: AccountingFixture;
let recorder: EventRecorder;
let slug: string;
let campaignId: string;
let count = 0;

beforeAll(async () => {
  accounting = await AccountingFixture.start();
  recorder = new EventRecorder(accounting.redis);
});
afterAll(() => accounting.stop());
beforeEach(async () => {
  slug = `visitors-${++count}`;
  campaignId = (await accounting.createCampaign(slug, { budget_usd: '100.00' })).id;
});

const post = (path: string, body: object = {}, headers: Record<string, string> = {}): Promise<AdminAnswer> =>
  accounting.admin('POST', `/admin/v1${path}`, body, headers);
const get = async (path: string): Promise<AdminAnswer['body']> =>
  (await accounting.admin('GET', `/admin/v1${path}`)).body;
const sql = <T>(text: string, values: unknown[] = []): Promise<T[]> => accounting.source.query<T[]>(text, values);
const requestId = (): string =>
  `req_${Date.now().toString(16).padStart(12, '0')}${(++count).toString(16).padStart(20, '0')}`;
const booked = () => accounting.until(() => isRecordUpToDate(accounting.redis));

/** A claimant as a claim makes it, with its readable label. */
async function claimant(label = 'Ada'): Promise<string> {
  const id = `vis_${randomBytes(10).toString('hex')}`;
  const { manager } = accounting.source;
  const vault = accounting.app.get(VisitorVault);
  const sealed = (await vault.boxes(manager, [id])).get(id)!.seal(await vault.compress(label), id);
  await sql(
    `INSERT INTO access.claimants (id, hash, kind, label_sealed, created_at) VALUES ($1, $2, 'label', $3, now())`,
    [id, `hash of ${id}`, sealed],
  );
  return id;
}

/** A key of a claimant, as a claim makes it. */
async function claimedKey(claimantId: string, terms: object = {}): Promise<{ id: string }> {
  const key = await accounting.createKey(slug, { budget_usd: '1.00', ...terms });
  await sql('UPDATE access.keys SET claimant_id = $2, version = version + 1 WHERE id = $1', [key.id, claimantId]);
  const row = await accounting.source.manager.findOneByOrFail(Key, { id: key.id });
  await accounting.app.get(AccountProjector).project([row]);
  return key;
}

/** `meanwhile`: what happens while the call runs. */
async function struck(key: { id: string }, meanwhile?: () => Promise<unknown>): Promise<string> {
  const id = requestId();
  const hold = await accounting.hold(key, id, 1_000n);
  expect(hold.code).toBe('ok');
  await meanwhile?.();
  const ending = { requestId: id, keyId: key.id, campaignId, lane: 'lane', replyTo: 'ingress' };
  await accounting.holds.end({
    ...ending,
    transition: 'void',
    strike: STRIKES,
    detail: { categories: ['violence'] },
  });
  return id;
}

/** A call on record, with its text and an input check that decided so. */
async function recorded(key: { id: string }, decision: CheckEvent['decision'] = 'pass'): Promise<string> {
  const id = requestId();
  const asked: RequestEvent = {
    kind: 'request',
    id,
    key: key.id,
    campaign: campaignId,
    model: 'gpt-5.4-mini',
    stream: false,
    policy,
  };
  const sealed = new ContentBox(accounting.config.secrets.contentKey).seal(
    JSON.stringify({ messages: [{ role: 'user', content: 'a secret question' }] }),
    id,
  );
  await recorder.record(asked, sealed);
  await recorder.record({
    kind: 'check',
    id: `chk_${++count}`,
    request: id,
    key: key.id,
    campaign: campaignId,
    direction: 'input',
    guard: 'moderation',
    model: 'omni-moderation-2024-09-26',
    decision,
    categories: decision === 'pass' ? [] : ['violence'],
    scores: { violence: decision === 'pass' ? 0.1 : 0.9 },
    reason: null,
    latency_ms: 3,
    policy,
  });
  await booked();
  return id;
}

const statusOf = async (key: { id: string }): Promise<string> => (await get(`/keys/${key.id}`)).status;
const unreviewedOf = async (visitor: string): Promise<string[]> =>
  ((await get(`/requests?visitor=${visitor}&reviewed=false`)).data as { id: string }[]).map(({ id }) => id);

describe('the keys of a claimant', () => {
  it('are suspended together in the books, and the claimant claims no more; a person reinstates all of them', async () => {
    const visitor = await claimant();
    const [a, b, gone] = [await claimedKey(visitor), await claimedKey(visitor), await claimedKey(visitor)];
    const stranger = await accounting.createKey(slug);
    await post(`/keys/${gone.id}/revoke`);
    await struck(a);
    await struck(b);
    const last = await struck(a);
    await accounting.until(async () => (await statusOf(b)) === 'suspended');
    expect([await statusOf(a), await statusOf(gone), await statusOf(stranger)]).toEqual([
      'suspended',
      'revoked',
      'active',
    ]);
    expect(await get(`/keys/${b.id}`)).toMatchObject({ status_note: 'strikes: 3 refused inputs', strikes: 1 });
    expect((await get(`/visitors/${visitor}`)).blocked_at).not.toBeNull();
    const strikes = (await get(`/visitors/${visitor}/strikes`)).data as { request_id: string; key: string }[];
    expect(strikes.map(({ key }) => key)).toEqual([a.id, b.id, a.id]);
    expect(strikes[0]!.request_id).toBe(last);
    // Redis has it from the books, too, and after a loss.
    await accounting.until(async () => (await accounting.redis.hget(redisKeys.key(b.id), 'status')) === 'suspended');

    const { body } = await post(`/visitors/${visitor}/reinstate`, { note: 'talked to them' });
    expect(body).toEqual({ data: { id: visitor, keys_changed: 2 } });
    expect([await statusOf(a), await statusOf(b), await statusOf(gone)]).toEqual(['active', 'active', 'revoked']);
    expect((await get(`/visitors/${visitor}`)).blocked_at).toBeNull();
    expect(await accounting.redis.exists(redisKeys.visitor(visitor))).toBe(0);
    expect((await accounting.hold(a, requestId(), 1n)).code).toBe('ok');
    expect((await get(`/keys/${a.id}`)).strikes).toBe(0);
    const acts = (await get(`/acts?subject=${visitor}`)).data as { act: string; note: string }[];
    expect(acts.map(({ act, note }) => [act, note])).toEqual([['visitor', 'reinstated: talked to them']]);
  });

  it('block their claimant also where its holder ended the key before the last strike', async () => {
    const visitor = await claimant();
    const key = await claimedKey(visitor);
    await struck(key);
    await struck(key);
    await struck(key, () => runAs(HOLDER, () => accounting.app.get(KeyService).setStatus(key.id, 'revoked', null)));
    await accounting.drained();
    expect((await get(`/visitors/${visitor}`)).blocked_at).not.toBeNull();
    expect(await statusOf(key)).toBe('revoked');
    expect(await accounting.redis.hget(redisKeys.key(key.id), 'status')).toBe('revoked');
  });

  it('count their strikes together after Redis is filled from the books, and none from before a pardon', async () => {
    const visitor = await claimant();
    const [a, b] = [await claimedKey(visitor), await claimedKey(visitor)];
    await struck(a);
    await accounting.drained();
    await post(`/keys/${b.id}/reinstate`);
    await struck(b);
    await struck(a);
    await accounting.drained();
    const before = await accounting.redis.hget(redisKeys.visitor(visitor), 'strike_times');
    expect(before!.split(' ')).toHaveLength(2);
    await accounting.redis.del(redisKeys.visitor(visitor));
    await accounting.app.get(RedisRebuild).run();
    expect(await accounting.redis.hget(redisKeys.visitor(visitor), 'strike_times')).toBe(before);
    expect(Number(await accounting.redis.hget(redisKeys.visitor(visitor), 'cooldown_until'))).toBeGreaterThan(
      Date.now(),
    );
    expect(await accounting.redis.hget(redisKeys.key(a.id), 'strike_times')).toBeNull();
  });

  it('are suspended by a person at once; only unblocking undoes a block by a person', async () => {
    const visitor = await claimant();
    const [a, b] = [await claimedKey(visitor), await claimedKey(visitor)];
    expect((await post(`/visitors/${visitor}/suspend`, { note: 'abuse' })).body.data).toEqual({
      id: visitor,
      keys_changed: 2,
    });
    for (const key of [a, b]) {
      expect(await statusOf(key)).toBe('suspended');
      expect((await accounting.hold(key, requestId(), 1n)).code).toBe('suspended');
    }
    expect((await get(`/visitors/${visitor}`)).blocked_at).not.toBeNull();
    await post(`/visitors/${visitor}/block`, { note: 'for good' });
    await post(`/visitors/${visitor}/reinstate`);
    expect((await get(`/visitors/${visitor}`)).blocked_at).not.toBeNull();
    await post(`/visitors/${visitor}/unblock`);
    expect((await get(`/visitors/${visitor}`)).blocked_at).toBeNull();
    const lonely = await accounting.createKey(slug);
    expect((await post(`/visitors/${lonely.id}/block`)).body.error).toMatchObject({ code: 'conflict' });
    expect((await post(`/visitors/${lonely.id}/suspend`)).body.data.keys_changed).toBe(1);
    const other = await post(`/visitors/${a.id}/suspend`);
    expect(other.status).toBe(404);
    expect(other.body.error.message).toContain(`belongs to the visitor '${visitor}'`);
    expect((await post('/visitors/vis_nobody/suspend')).status).toBe(404);
  });

  it('are found by claimant, in lists and for changes of many', async () => {
    const visitor = await claimant();
    const [a, b] = [await claimedKey(visitor), await claimedKey(visitor)];
    await accounting.createKey(slug);
    const listed = (await get(`/keys?claimant=${visitor}`)).data as { id: string; claimant: string; link: null }[];
    expect(listed.map(({ id }) => id).toSorted()).toEqual([a.id, b.id].toSorted());
    expect(listed[0]).toMatchObject({ claimant: visitor, link: null });
    const { body } = await post('/keys/bulk', { filter: { claimant: visitor }, action: 'suspend', dry_run: true });
    expect(body.data).toMatchObject({ matched: 2, changed: 2 });
    expect((await get('/keys?link=lnk_none')).data).toEqual([]);
    await struck(a);
    await accounting.drained();
    const flagged = (await get(`/keys?flagged=true&campaign=${slug}`)).data as { id: string }[];
    expect(flagged.map(({ id }) => id)).toEqual([a.id]);
  });
});

describe('the record of a claimant', () => {
  it('names one visitor for all of its keys, and an erasure reaches the contents of each and the label', async () => {
    const visitor = await claimant('Grace Hopper');
    const [a, b] = [await claimedKey(visitor), await claimedKey(visitor)];
    const calls = [await recorded(a, 'flagged'), await recorded(b)];
    for (const id of calls) {
      const call = await get(`/requests/${id}`);
      expect(call).toMatchObject({ visitor, texts: 'shown' });
      expect(JSON.stringify(call.asked)).toContain('a secret question');
    }
    expect(await get(`/visitors/${visitor}`)).toMatchObject({
      kind: 'label',
      label: 'Grace Hopper',
      keys: 2,
      keys_active: 2,
      calls: 2,
      checks: 2,
      flagged: 1,
      blocked: 0,
      erased_at: null,
    });
    await post(`/keys/${a.id}/revoke`);
    const early = await post(`/visitors/${visitor}/erase`, { note: 'asked' });
    expect(early.status).toBe(409);
    expect(early.body.error.message).toContain(b.id);
    await post(`/visitors/${visitor}/revoke`);
    expect((await post(`/visitors/${visitor}/erase`, { note: 'asked' })).status).toBe(200);
    for (const id of calls) expect(await get(`/requests/${id}`)).toMatchObject({ texts: 'erased', asked: null });
    expect(await get(`/visitors/${visitor}`)).toMatchObject({ label: null, keys: 2, keys_active: 0 });
    const [{ hash } = { hash: '' }] = await sql<{ hash: string }>('SELECT hash FROM access.claimants WHERE id = $1', [
      visitor,
    ]);
    expect(hash).toBe(`hash of ${visitor}`);
    expect(await get('/audit/verify')).toMatchObject({ ok: true, problems: [] });
  });

  it('lists visitors by flagged checks and by spend, page after page', async () => {
    const visitor = await claimant();
    const [a, b] = [await claimedKey(visitor), await claimedKey(visitor)];
    const single = await accounting.createKey(slug, { budget_usd: '1.00', label: 'desk 4' });
    for (let round = 0; round < 9; round++) await recorded(round % 2 ? a : b, 'blocked');
    for (let round = 0; round < 10; round++) await recorded(single, 'flagged');
    await accounting.call(a, requestId(), 400_000_000n, 400_000_000n);
    await accounting.call(b, requestId(), 400_000_000n, 400_000_000n);
    await accounting.call(single, requestId(), 700_000_000n, 700_000_000n);
    await accounting.drained();
    const pages = async (sort: string): Promise<{ id: string; spent_usd: string; label: string | null }[]> => {
      const found = [];
      for (let cursor = ''; ;) {
        const page = await get(`/visitors?sort=${sort}&limit=2${cursor}`);
        found.push(...page.data);
        if (page.next_cursor === null) return found;
        cursor = `&cursor=${page.next_cursor}`;
      }
    };
    const flagged = await pages('flagged');
    expect(flagged.slice(0, 2).map(({ id }) => id)).toEqual([single.id, visitor]);
    expect(flagged[0]!.label).toBe('desk 4');
    const spent = await pages('spent');
    expect(spent.slice(0, 2).map(({ id, spent_usd }) => [id, spent_usd])).toEqual([
      [visitor, '0.80'],
      [single.id, '0.70'],
    ]);
    const ids = spent.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(a.id);
    expect((await accounting.admin('GET', '/admin/v1/visitors?cursor=x')).status).toBe(400);
  });

  it('lists visitors by the share of their checks that was refused, and counts checks', async () => {
    const mixed = await accounting.createKey(slug);
    const few = await accounting.createKey(slug);
    for (const decision of ['blocked', 'blocked', 'blocked', 'pass'] as const) await recorded(mixed, decision);
    await recorded(few, 'blocked');
    const order = async (sort: string): Promise<string[]> =>
      ((await get(`/visitors?sort=${sort}&limit=200`)).data as { id: string }[])
        .map(({ id }) => id)
        .filter((id) => id === mixed.id || id === few.id);
    expect(await order('flagged')).toEqual([mixed.id, few.id]);
    expect(await order('share')).toEqual([few.id, mixed.id]);
    expect((await get(`/checks/count?key=${mixed.id}`)).data).toEqual({ checks: 4, is_more: false });
    expect((await get(`/checks/count?key=${mixed.id}&decision=pass`)).data).toEqual({ checks: 1, is_more: false });
    expect((await accounting.admin('GET', '/admin/v1/checks/count?limit=5')).status).toBe(400);
  });
});

describe('acts', () => {
  it('are covered by the chain as Postgres keeps them, whatever their note quotes', async () => {
    const key = await accounting.createKey(slug);
    await accounting.app.get(VisitorActs).setStatus(key.id, 'suspend', 'half a pair \ud800');
    expect(await get('/audit/verify')).toMatchObject({ ok: true, problems: [] });
  });

  it('say who did them, in lists and in CSV, and the chain covers the name', async () => {
    const key = await accounting.createKey(slug);
    await post(`/keys/${key.id}/suspend`, { note: '=first' });
    await runAs('Ada', () => accounting.app.get(VisitorActs).setStatus(key.id, 'reinstate', null));
    const acts = (await get(`/acts?subject=${key.id}`)).data as { actor: string | null; note: string }[];
    expect(acts.map(({ actor, note }) => [actor, note])).toEqual([
      ['Ada', 'reinstated'],
      [null, 'suspended: =first'],
    ]);
    expect((await get(`/acts?actor=Ada&subject=${key.id}`)).data).toHaveLength(1);
    const csv = await accounting.admin('GET', `/admin/v1/acts?subject=${key.id}&limit=1`, undefined, {
      accept: 'text/csv',
    });
    expect(csv.headers.get('x-next-cursor')).not.toBeNull();
    expect((csv.body as string).split('\n')[0]).toBe('at,id,act,subject,actor,note');
    expect(await get('/audit/verify')).toMatchObject({ ok: true });
  });
});

describe('the texts of a call', () => {
  it('come with an act, once an hour for each person', async () => {
    const id = await recorded(await accounting.createKey(slug), 'flagged');
    const opened = accounting.app.get(OpenedCalls);
    const first = await post(`/requests/${id}/open`, { reason: 'a complaint' });
    expect(first.body).toMatchObject({ texts: 'shown', reviewed: false });
    expect(JSON.stringify(first.body.asked)).toContain('a secret question');
    await Promise.all([post(`/requests/${id}/open`), post(`/requests/${id}/open`)]);
    await runAs('Ada', () => opened.open(id, null));
    await runAs('Ada', () => opened.open(id, null));
    const acts = (await get(`/acts?subject=${id}&act=opened`)).data as { actor: string | null; note: string | null }[];
    expect(acts.map(({ actor, note }) => [actor, note])).toEqual([
      ['Ada', null],
      [null, 'a complaint'],
    ]);
    expect(await sql('SELECT actor, note FROM audit.opened WHERE request_id = $1 ORDER BY at', [id])).toEqual([
      { actor: null, note: 'a complaint' },
      { actor: 'Ada', note: null },
    ]);
    expect((await post('/requests/req_unknown/open')).status).toBe(404);
    expect(await get('/audit/verify')).toMatchObject({ ok: true });
  });

  it('are not there without a trace: nobody opens what is erased, and no act says so', async () => {
    const key = await accounting.createKey(slug);
    const id = await recorded(key);
    await post(`/keys/${key.id}/revoke`);
    await post(`/visitors/${key.id}/erase`);
    expect((await post(`/requests/${id}/open`)).body).toMatchObject({ texts: 'erased', asked: null });
    expect((await get(`/acts?subject=${id}`)).data).toEqual([]);
  });

  it('come to the console only with the act, in the name of the session', async () => {
    const id = await recorded(await accounting.createKey(slug), 'flagged');
    const url = (await accounting.app.getUrl()).replace('[::1]', 'localhost').replace('127.0.0.1', 'localhost');
    const json = { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' };
    const token = 'admin-token-for-tests';
    const body = JSON.stringify({ token, name: 'Grace' });
    const signedIn = await fetch(`${url}/admin/v1/session`, { method: 'POST', headers: json, body });
    const cookie = signedIn.headers.get('set-cookie')!.split(';')[0]!;
    const asConsole = async (method: string, path: string): Promise<AdminAnswer['body']> => {
      const sent = method === 'POST' ? { body: '{}' } : {};
      const answer = await fetch(`${url}/admin/v1${path}`, { method, headers: { ...json, cookie }, ...sent });
      return answer.json();
    };
    const closed = await asConsole('GET', `/requests/${id}`);
    expect(closed).toMatchObject({ texts: 'kept', asked: null, kept: null });
    expect(JSON.stringify(closed)).not.toContain('a secret question');
    expect(JSON.stringify(await asConsole('POST', `/requests/${id}/open`))).toContain('a secret question');
    const acts = (await get(`/acts?subject=${id}`)).data as { act: string; actor: string }[];
    expect(acts.map(({ act, actor }) => [act, actor])).toEqual([['opened', 'Grace']]);
  });

  it('are in no answer that is kept for a repeat', async () => {
    const key = await accounting.createKey(slug);
    const id = await recorded(key);
    const again = { 'idempotency-key': `open ${id}` };
    expect((await post(`/requests/${id}/open`, {}, again)).body).toMatchObject({ texts: 'shown' });
    await post(`/keys/${key.id}/revoke`);
    await post(`/visitors/${key.id}/erase`);
    expect((await post(`/requests/${id}/open`, {}, again)).body).toMatchObject({ texts: 'erased', asked: null });
  });
});

describe('the queue of the review', () => {
  const waiting = (): Promise<number> => accounting.app.get(ReviewQueue).unreviewed();

  it('has flagged calls until a person decides about the visitor or marks the call', async () => {
    const key = await accounting.createKey(slug);
    const before = await waiting();
    const passed = await recorded(key);
    const [first, second] = [await recorded(key, 'blocked'), await recorded(key, 'flagged')];
    expect(await waiting()).toBe(before + 2);
    expect(await unreviewedOf(key.id)).toEqual([second, first]);
    expect((await post(`/requests/${first}/review`, { note: 'a joke' })).body).toEqual({
      data: { id: first, reviewed: true },
    });
    await post(`/requests/${first}/review`);
    expect(await unreviewedOf(key.id)).toEqual([second]);
    expect((await get(`/acts?subject=${first}`)).data).toHaveLength(1);
    await post(`/keys/${key.id}/suspend`);
    expect(await unreviewedOf(key.id)).toEqual([]);
    expect(await waiting()).toBe(before);
    const rows = (await get(`/requests?key=${key.id}`)).data as { id: string; reviewed: boolean | null }[];
    expect(rows.map(({ id, reviewed }) => [id, reviewed])).toEqual([
      [second, true],
      [first, true],
      [passed, null],
    ]);
    const seen = (await get(`/requests?key=${key.id}&reviewed=true`)).data as unknown[];
    expect(seen).toHaveLength(2);
    // What comes later has to be looked at again.
    const third = await recorded(key, 'blocked');
    expect(await unreviewedOf(key.id)).toEqual([third]);
    expect((await post('/requests/req_unknown/review')).status).toBe(404);
  });

  it('is walked within a filter, and each call has its scores beside the thresholds', async () => {
    const key = await accounting.createKey(slug);
    const first = await recorded(key, 'blocked');
    await recorded(key);
    const second = await recorded(key, 'flagged');
    await recorded(await accounting.createKey(slug), 'blocked');
    const third = await recorded(key, 'blocked');
    const filter = `visitor=${key.id}&campaign=${slug}&decision=blocked,flagged&since=2020-01-01T00:00:00Z`;
    const around = async (id: string, more = '') => (await get(`/requests/${id}/around?${filter}${more}`)).data;
    expect(await around(second)).toEqual({ newer: third, older: first });
    expect(await around(third)).toEqual({ newer: null, older: second });
    expect(await around(second, '&model=none')).toEqual({ newer: null, older: null });
    expect((await accounting.admin('GET', '/admin/v1/requests/req_unknown/around')).status).toBe(404);
    const checks = (await get(`/checks?request=${second}`)).data as object[];
    expect(checks).toEqual([
      expect.objectContaining({ scores: { violence: 0.9 }, thresholds: { violence: 0.6 }, categories: ['violence'] }),
    ]);
  });
});

describe('changes of many keys', () => {
  it('extend their time and fund them, with the reasons for those that cannot', async () => {
    const [timed, endless, waits, revoked] = [
      await accounting.createKey(slug, { budget_usd: '1.00', ttl_seconds: 3_600 }),
      await accounting.createKey(slug, { budget_usd: '1.00' }),
      await accounting.createKey(slug, { budget_usd: '1.00', ttl_seconds: 3_600, ttl_from: 'first_use' }),
      await accounting.createKey(slug, { budget_usd: '1.00' }),
    ];
    await post(`/keys/${revoked.id}/revoke`);
    const ids = [timed.id, endless.id, waits.id, revoked.id];
    const extend = { ids, action: 'extend', ttl_seconds: 600, note: 'one more round' };
    const trial = await post('/keys/bulk', { ...extend, dry_run: true });
    expect(trial.body.data).toMatchObject({ dry_run: true, matched: 4, changed: 2 });
    expect(await get(`/keys/${timed.id}`)).toMatchObject({ expires_at: timed.expires_at });
    const { body } = await post('/keys/bulk', extend);
    expect(body.data).toMatchObject({ matched: 4, changed: 2 });
    expect(body.data.failed.toSorted((a: { why: string }, b: { why: string }) => a.why.localeCompare(b.why))).toEqual([
      { id: endless.id, why: 'it has no end' },
      { id: revoked.id, why: 'it is revoked, which is final' },
    ]);
    const later = new Date(Date.parse(timed.expires_at as string) + 600_000).toISOString();
    expect(await get(`/keys/${timed.id}`)).toMatchObject({ expires_at: later });
    expect(Number(await accounting.redis.hget(redisKeys.key(timed.id), 'expires_ms'))).toBe(Date.parse(later));
    expect(await get(`/keys/${waits.id}`)).toMatchObject({ ttl_from_first_use_seconds: 4_200 });

    const fund = await post('/keys/bulk', { ids, action: 'fund', amount_usd: '0.25' });
    expect(fund.body.data).toMatchObject({ matched: 4, changed: 3 });
    expect(await get(`/keys/${timed.id}`)).toMatchObject({ budget_usd: '1.25', available_usd: '1.25' });
    const transfers = (await get(`/keys/${timed.id}/transfers`)).data as { kind: string; amount_usd: string }[];
    expect(transfers.map(({ kind, amount_usd }) => [kind, amount_usd])).toContainEqual(['grant', '0.25']);
    const acts = (await get(`/acts?subject=${timed.id}`)).data as { note: string }[];
    expect(acts.map(({ note }) => note)).toEqual(['funded with 0.25 dollars', 'extended by 600 s: one more round']);
    expect(await get('/ledger/verify')).toMatchObject({ ok: true });
  });

  it('give a key whose time was over its budget back', async () => {
    const key = await accounting.createKey(slug, { budget_usd: '1.00', ttl_seconds: 3_600 });
    await sql("UPDATE access.keys SET expires_at = now() - interval '1 minute', settle_at = now() WHERE id = $1", [
      key.id,
    ]);
    const row = await accounting.source.manager.findOneByOrFail(Key, { id: key.id });
    await accounting.app.get(AccountProjector).project([row]);
    await accounting.until(async () => (await get(`/keys/${key.id}`)).returned_usd === '1.00');
    const dead = await post('/keys/bulk', { ids: [key.id], action: 'fund', amount_usd: '1.00' });
    expect(dead.body.data.failed).toEqual([{ id: key.id, why: 'its time is over: extend it first' }]);
    await post('/keys/bulk', { ids: [key.id], action: 'extend', ttl_seconds: 600 });
    expect(await get(`/keys/${key.id}`)).toMatchObject({ status: 'active', budget_usd: '1.00', returned_usd: '0.00' });
    expect((await accounting.hold(key, requestId(), 1_000n)).code).toBe('ok');
    expect(await get('/ledger/verify')).toMatchObject({ ok: true });
  });

  it.each([
    [{ action: 'extend' }, 'ttl_seconds'],
    [{ action: 'fund' }, 'amount_usd'],
    [{ action: 'suspend', amount_usd: '1.00' }, 'amount_usd'],
    [{ action: 'fund', amount_usd: '0.00' }, 'amount_usd'],
  ])('refuse what is not a change (%j)', async (change, param) => {
    const { status, body } = await post('/keys/bulk', { ids: ['key_x'], ...change });
    expect([status, body.error.param]).toEqual([400, param]);
  });
});

describe('revoking all keys of a campaign', () => {
  it('counts first, then revokes each in one statement, and says what goes back', async () => {
    const keys = await post('/keys/batch', { campaign: slug, count: 12, budget_usd: '1.00' });
    const [used, before] = keys.body.data as { id: string }[];
    await accounting.call(used!, requestId(), 300_000_000n, 300_000_000n);
    await accounting.drained();
    await post(`/keys/${before!.id}/revoke`);
    const path = `/campaigns/${slug}/revoke-keys`;
    const trial = await post(path, { note: 'the event is over', dry_run: true });
    expect(trial.body).toEqual({ data: { dry_run: true, keys: 11, returned_usd: '10.70' } });
    expect((await get(`/campaigns/${slug}`)).keys).toMatchObject({ active: 11 });
    expect((await post(path, { note: 'over', confirm: 'other' })).status).toBe(400);
    expect((await post(path, {})).status).toBe(400);
    const done = await post(path, { note: 'the event is over', confirm: slug });
    expect(done.body).toEqual({ data: { dry_run: false, keys: 11, returned_usd: '10.70' } });
    expect((await get(`/campaigns/${slug}`)).keys).toMatchObject({ active: 0, revoked: 12 });
    expect((await accounting.hold(used!, requestId(), 1n)).code).toBe('invalid');
    const acts = (await get(`/acts?subject=${campaignId}`)).data as { note: string }[];
    expect(acts.map(({ note }) => note)).toEqual(['revoked all 11 keys: the event is over']);
    expect((await post('/campaigns/nothing/revoke-keys', { note: 'x' })).status).toBe(404);
    expect((await post(path, { note: 'again' })).body.data).toMatchObject({ keys: 0 });
    await accounting.until(async () => (await get(`/keys/${used!.id}`)).returned_usd === '0.70');
    expect(await get('/ledger/verify')).toMatchObject({ ok: true });
  });
});

describe('an erasure by the holder', () => {
  const erasure = (): HolderErasure => accounting.app.get(HolderErasure);

  it('ends the keys and takes the texts at once, where nothing is flagged', async () => {
    const visitor = await claimant();
    const [a, b] = [await claimedKey(visitor), await claimedKey(visitor)];
    const call = await recorded(b);
    const answer = await erasure().erase(a.id);
    expect(answer).toEqual({ erased_at: expect.any(String), due_at: null });
    expect([await statusOf(a), await statusOf(b)]).toEqual(['revoked', 'revoked']);
    expect(await get(`/requests/${call}`)).toMatchObject({ texts: 'erased' });
    expect(await erasure().erase(a.id)).toEqual(answer);
    const acts = (await get(`/acts?subject=${visitor}&actor=holder`)).data as { act: string }[];
    // The repeat adds none.
    expect(acts.map(({ act }) => act).toSorted()).toEqual(['erasure', 'visitor']);
  });

  it('works for a key that never called', async () => {
    const key = await accounting.createKey(slug);
    expect(await erasure().erase(key.id)).toMatchObject({ due_at: null });
    expect(await statusOf(key)).toBe('revoked');
    expect(await get('/audit/verify')).toMatchObject({ ok: true });
  });

  it('waits for the review of flagged calls, at most 30 days; its own act reviews nothing', async () => {
    const key = await accounting.createKey(slug);
    const call = await recorded(key, 'blocked');
    const answer = await erasure().erase(key.id);
    const days = (Date.parse(answer.due_at!) - Date.now()) / 86_400_000;
    expect(answer.erased_at).toBeNull();
    expect(days).toBeGreaterThan(29.9);
    expect(days).toBeLessThanOrEqual(30.1);
    expect(await statusOf(key)).toBe('revoked');
    await erasure().eraseDue();
    expect(await get(`/requests/${call}`)).toMatchObject({ texts: 'shown' });
    expect((await erasure().erase(key.id)).due_at).toBe(answer.due_at);
    await post(`/requests/${call}/review`);
    await erasure().eraseDue();
    expect(await get(`/requests/${call}`)).toMatchObject({ texts: 'erased' });
    expect(await sql('SELECT 1 FROM access.erasures WHERE visitor_id = $1', [key.id])).toEqual([]);
  });

  it('does not wait longer than 30 days', async () => {
    const key = await accounting.createKey(slug);
    const call = await recorded(key, 'blocked');
    await erasure().erase(key.id);
    await sql(`UPDATE access.erasures SET due_at = now() - interval '1 second' WHERE visitor_id = $1`, [key.id]);
    await erasure().eraseDue();
    expect(await get(`/requests/${call}`)).toMatchObject({ texts: 'erased' });
  });

  it('keeps no more than two places of the desk while calls run', async () => {
    const keys = await Promise.all([1, 2, 3, 4].map(() => accounting.createKey(slug)));
    for (const key of keys) await accounting.hold(key, requestId(), 1_000n);
    const startedMs = performance.now();
    let waiting = 6;
    const asked = [...keys, keys[0]!, keys[1]!].map(async ({ id }) => {
      const answer = await erasure().erase(id);
      waiting -= 1;
      return answer;
    });
    await accounting.until(() => Promise.resolve(waiting === 2));
    expect(performance.now() - startedMs).toBeLessThan(2_500);
    for (const { due_at } of await Promise.all(asked)) expect(due_at).not.toBeNull();
  });

  it('waits for a call that still runs: its answer may be flagged', async () => {
    const key = await accounting.createKey(slug);
    const running = requestId();
    await accounting.hold(key, running, 1_000n);
    expect(await erasure().erase(key.id)).toMatchObject({ erased_at: null });
    await erasure().eraseDue();
    expect((await get(`/visitors/${key.id}`)).erased_at).toBeNull();
    await accounting.end(key, running, 'void');
    await erasure().eraseDue();
    expect((await get(`/visitors/${key.id}`)).erased_at).not.toBeNull();
  });
});
