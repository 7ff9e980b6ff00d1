import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckEvent } from '#libs/contracts/audit.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture, type AdminAnswer } from '../accounting.fixture.js';
import { JournalBooker } from '../books/journal.booker.js';
import { RedisRebuild } from '../recovery/redis.rebuild.js';
import { isRecordUpToDate } from '../record/audit.stream.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
});
afterAll(() => accounting.stop());

const CSV = { accept: 'text/csv' };
const post = (path: string, body: unknown, headers = {}) =>
  accounting.admin('POST', `/admin/v1/${path}`, body, headers);
const get = (path: string, headers = {}) => accounting.admin('GET', `/admin/v1/${path}`, undefined, headers);
const shown = async (id: string): Promise<AdminAnswer['body']> => (await get(`keys/${id}`)).body;
const redisOf = (id: string, ...fields: string[]) => accounting.redis.hmget(redisKeys.key(id), ...fields);
const idsOf = ({ body }: AdminAnswer): string[] => body.data.map(({ id }: { id: string }) => id);
let number = 0;
const newCampaign = async (terms: object = {}): Promise<string> => {
  const slug = `room-${++number}`;
  await accounting.createCampaign(slug, { budget_usd: '1000', ...terms });
  return slug;
};
const batch = async (campaign: string, count: number): Promise<{ id: string }[]> =>
  (await post('keys/batch', { campaign, count, budget_usd: '1' })).body.data;

describe('a batch with labels', () => {
  it('makes a key for each, in their order', async () => {
    const { status, body } = await post('keys/batch', { campaign: await newCampaign(), labels: ['Ada', 'Bo', 'Ada'] });
    expect(status).toBe(201);
    expect(body.data.map(({ label }: { label: string }) => label)).toEqual(['Ada', 'Bo', 'Ada']);
    expect(new Set(body.data.map(({ key }: { key: string }) => key)).size).toBe(3);
  });

  it.each([
    ['neither a count nor labels', {}, 'count'],
    ['a count that is not theirs', { labels: ['a', 'b'], count: 3 }, 'count'],
    ['a label beside them', { labels: ['a', 'b'], label: 'c' }, 'label'],
    ['none of them', { labels: [] }, 'labels'],
    ['too many', { labels: Array(1_001).fill('a') }, 'labels'],
    ['one that is not text', { labels: ['a', 1] }, 'labels.1'],
    ['one with a line break', { labels: ['a\nb'] }, 'labels.0'],
  ])('is refused with %s', async (_, terms, param) => {
    const { status, body } = await post('keys/batch', { campaign: await newCampaign(), ...terms });
    expect([status, body.error.param]).toEqual([400, param]);
  });

  it('takes a count that agrees', async () => {
    const answer = await post('keys/batch', { campaign: await newCampaign(), labels: ['a', 'b'], count: 2 });
    expect([answer.status, answer.body.data.length]).toEqual([201, 2]);
  });
});

describe('CSV', () => {
  it('is what a batch answers under accept: text/csv, with formulas escaped, also when it is repeated', async () => {
    const campaign = await newCampaign();
    const labels = ['Ada "the first", of three', '=HYPERLINK("http://evil")', '+1', '-2', '@x'];
    const headers = { ...CSV, 'idempotency-key': `csv-${campaign}` };
    const first = await post('keys/batch', { campaign, labels }, headers);
    expect([first.status, first.headers.get('content-type')]).toEqual([201, 'text/csv; charset=utf-8']);
    expect(first.headers.get('content-disposition')).toContain('keys.csv');
    const lines = (first.body as string).trimEnd().split('\n');
    expect(lines[0]).toMatch(/^id,key,prefix,label,campaign,status,starts_at,expires_at,/);
    expect(lines).toHaveLength(6);
    expect(lines[1]).toMatch(/^key_\w+,dp_\w+,dp_[^,]+,"Ada ""the first"", of three",/);
    expect(lines[2]).toContain(`"'=HYPERLINK(""http://evil"")"`);
    for (const [index, label] of ['+1', '-2', '@x'].entries()) expect(lines[index + 3]).toContain(`,'${label},`);
    const again = await post('keys/batch', { campaign, labels }, headers);
    expect([again.body, again.headers.get('idempotent-replayed')]).toEqual([first.body, 'true']);
    const asJson = await post('keys/batch', { campaign, labels }, { 'idempotency-key': `csv-${campaign}` });
    expect(asJson.body.data).toHaveLength(5);
  });

  it('is also a list, with the next cursor in a header; errors and other accepts stay JSON', async () => {
    const campaign = await newCampaign();
    await batch(campaign, 3);
    const page = await get(`keys?campaign=${campaign}&limit=2`, CSV);
    expect((page.body as string).trimEnd().split('\n')).toHaveLength(3);
    expect(page.body).not.toContain(',dp_,');
    const rest = await get(`keys?campaign=${campaign}&cursor=${page.headers.get('x-next-cursor')}`, CSV);
    expect((rest.body as string).trimEnd().split('\n')).toHaveLength(2);
    expect(rest.headers.get('x-next-cursor')).toBeNull();
    for (const accept of ['*/*', 'application/json', 'text/html', 'text/csv;q=0', 'text/csvx'])
      expect((await get(`keys?campaign=${campaign}`, { accept })).body.data).toHaveLength(3);
    expect((await get('keys?limit=0', CSV)).body.error.code).toBe('invalid_request');
  });
});

describe('a time to live from the first use', () => {
  const terms = { ttl_seconds: 3_600, ttl_from: 'first_use', budget_usd: '1' };

  it('begins with the first hold: Redis, Postgres, the list and the budget return agree, once', async () => {
    const key = await accounting.createKey(await newCampaign(), terms);
    expect(key).toMatchObject({ expires_at: null, first_used_at: null, ttl_from_first_use_seconds: 3_600 });
    expect(await redisOf(key.id, 'expires_ms', 'ttl_from_use_ms')).toEqual(['0', '3600000']);
    await accounting.call(key, `${key.id}-1`, 1_000n, 100n);
    const [expiresMs] = await redisOf(key.id, 'expires_ms');
    await accounting.call(key, `${key.id}-2`, 1_000n, 100n);
    await accounting.drained();
    await accounting.until(async () => (await shown(key.id)).expires_at !== null);
    const view = await shown(key.id);
    const firstUsedMs = Date.parse(view.first_used_at);
    expect(Number(expiresMs)).toBe(firstUsedMs + 3_600_000);
    expect(Date.parse(view.expires_at)).toBe(Number(expiresMs));
    const holds = await accounting.source.query(
      `SELECT extract(epoch FROM at) * 1000 AS ms FROM ledger.transfers WHERE request_id = $1 AND kind = 'hold'`,
      [`${key.id}-1`],
    );
    expect(Number(holds[0].ms)).toBe(firstUsedMs);
    expect((await redisOf(key.id, 'expires_ms'))[0]).toBe(expiresMs);
    const due = await accounting.source.query('SELECT settle_at FROM access.keys WHERE id = $1', [key.id]);
    expect(due[0].settle_at.getTime()).toBe(Number(expiresMs));
  });

  it('is booked once, however often and in whatever order the journal is read', async () => {
    const key = await accounting.createKey(await newCampaign(), terms);
    await accounting.call(key, `${key.id}-1`, 1_000n, 100n);
    await accounting.drained();
    const before = await shown(key.id);
    expect(before.first_used_at).not.toBeNull();
    const entry = {
      kind: 'hold',
      request: `${key.id}-9`,
      key: key.id,
      campaign: 'c',
      amount: '0',
      paid: '0',
      absorbed: '0',
      at_ms: String(Date.now() + 60_000),
      first_use: '1',
    };
    for (const id of ['1-1', '1-2'])
      await accounting.app.get(JournalBooker).book([{ id, fields: entry, content: Buffer.alloc(0) }]);
    expect(await shown(key.id)).toMatchObject({ first_used_at: before.first_used_at, expires_at: before.expires_at });
  });

  it('is the same after a rebuild of Redis, for a used key and for one that waits', async () => {
    const campaign = await newCampaign({ key_defaults: { ttl_seconds: 60, ttl_from: 'first_use' } });
    const [used, waiting] = (await batch(campaign, 2)) as [{ id: string }, { id: string }];
    await accounting.call(used, `${used.id}-1`, 1_000n, 100n);
    await accounting.drained();
    await accounting.until(async () => (await shown(used.id)).expires_at !== null);
    const before = await redisOf(used.id, 'expires_ms');
    await accounting.redis.del(redisKeys.key(used.id), redisKeys.key(waiting.id));
    await accounting.app.get(RedisRebuild).run();
    expect(await redisOf(used.id, 'expires_ms')).toEqual(before);
    expect(await redisOf(waiting.id, 'expires_ms', 'ttl_from_use_ms')).toEqual(['0', '60000']);
  });

  it('ends the key, which then returns its budget', async () => {
    const key = await accounting.createKey(await newCampaign(), { ...terms, ttl_seconds: 1 });
    await sleep(1_200);
    expect((await shown(key.id)).status).toBe('active');
    await accounting.call(key, `${key.id}-1`, 1_000n, 100n);
    await sleep(1_100);
    expect((await accounting.hold(key, `${key.id}-2`, 1n)).code).toBe('invalid');
    await accounting.until(async () => (await shown(key.id)).returned_usd !== '0.00');
    expect(await shown(key.id)).toMatchObject({ status: 'expired', returned_usd: '0.9999999' });
  });

  it('needs a time to live, of its own or of the campaign', async () => {
    const { status, body } = await post('keys', { campaign: await newCampaign(), ttl_from: 'first_use' });
    expect([status, body.error.param]).toEqual([400, 'ttl_from']);
  });

  it('can be changed while it waits, and gives way to a fixed end', async () => {
    const key = await accounting.createKey(await newCampaign(), terms);
    const change = (body: object) => accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, body);
    expect((await change({ ttl_seconds: 60 })).body).toMatchObject({
      expires_at: null,
      ttl_from_first_use_seconds: 60,
    });
    expect(await redisOf(key.id, 'ttl_from_use_ms')).toEqual(['60000']);
    const end = '2100-01-01T00:00:00.000Z';
    expect((await change({ expires_at: end })).body).toMatchObject({
      expires_at: end,
      ttl_from_first_use_seconds: null,
    });
    await accounting.call(key, `${key.id}-1`, 1_000n, 100n);
    expect(await redisOf(key.id, 'ttl_from_use_ms', 'expires_ms')).toEqual(['0', String(Date.parse(end))]);
  });
});

describe('a key that starts later', () => {
  it('takes no hold before, and its time counts from its start', async () => {
    const startsAt = new Date(Date.now() + 1_000);
    const key = await accounting.createKey(await newCampaign(), { starts_at: startsAt.toISOString(), ttl_seconds: 60 });
    expect(key.starts_at).toBe(startsAt.toISOString());
    expect(Date.parse(key.expires_at)).toBe(startsAt.getTime() + 60_000);
    expect((await accounting.hold(key, `${key.id}-1`, 1n)).code).toBe('invalid');
    await accounting.until(async () => (await accounting.hold(key, `${key.id}-2`, 1n)).code === 'ok');
    expect(Date.now()).toBeGreaterThanOrEqual(startsAt.getTime());
  });

  it('must not end before it starts', async () => {
    const key = await accounting.createKey(await newCampaign(), { ttl_seconds: 60 });
    const change = (body: object) => accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, body);
    const refused = await change({ starts_at: '2100-01-01T00:00:00Z' });
    expect([refused.status, refused.body.error.param]).toEqual([400, 'starts_at']);
    expect((await change({ starts_at: '2100-01-01T00:00:00Z', ttl_seconds: 60 })).body.expires_at).toBe(
      '2100-01-01T00:01:00.000Z',
    );
    expect((await change({ starts_at: null })).body.starts_at).toBeNull();
  });
});

describe('many keys at once', () => {
  const statuses = async (ids: readonly string[]) =>
    Promise.all(ids.map(async (id) => (await shown(id)).status as string));

  it('are suspended, reinstated and revoked by campaign; a dry run changes none', async () => {
    const [campaign, other] = [await newCampaign(), await newCampaign()];
    const ids = (await batch(campaign, 3)).map(({ id }) => id);
    const [elsewhere] = await batch(other, 1);
    const bulk = async (action: string, terms: object = {}) =>
      (await post('keys/bulk', { filter: { campaign }, action, note: 'the day is over', ...terms })).body.data;
    expect(await bulk('suspend', { dry_run: true })).toEqual({
      dry_run: true,
      matched: 3,
      changed: 3,
      remaining: 0,
      failed: [],
    });
    expect(await statuses(ids)).toEqual(Array(3).fill('active'));
    expect(await bulk('suspend')).toMatchObject({ dry_run: false, matched: 3, changed: 3 });
    expect(await statuses(ids)).toEqual(Array(3).fill('suspended'));
    expect(await accounting.redis.hget(redisKeys.key(ids[0]!), 'status')).toBe('suspended');
    expect(await bulk('suspend')).toMatchObject({ matched: 0, changed: 0 });
    expect(await bulk('reinstate')).toMatchObject({ changed: 3 });
    expect(await bulk('revoke')).toMatchObject({ changed: 3 });
    expect(await statuses(ids)).toEqual(Array(3).fill('revoked'));
    expect(await shown(ids[1]!)).toMatchObject({ status_note: 'the day is over' });
    // What they did not spend goes back.
    await accounting.until(async () => (await shown(ids[2]!)).returned_usd === '1.00');
    expect(await statuses([elsewhere!.id])).toEqual(['active']);
    const acts = await accounting.source.query('SELECT note FROM audit.acts WHERE subject = $1 ORDER BY seq', [ids[0]]);
    expect(acts.map(({ note }: { note: string }) => note)).toEqual(
      ['suspended', 'reinstated', 'revoked'].map((done) => `${done}: the day is over`),
    );
    expect((await get('audit/verify')).body.ok).toBe(true);
  });

  it('by their ids say which could not be changed and why', async () => {
    const [alive, dead] = (await batch(await newCampaign(), 2)) as [{ id: string }, { id: string }];
    await post(`keys/${dead.id}/revoke`, {});
    const ids = [alive.id, dead.id, 'key_00000000000000000000', 'nonsense', alive.id];
    const { body } = await post('keys/bulk', { ids, action: 'suspend' });
    expect(body.data).toMatchObject({ matched: 2, changed: 1, remaining: 0 });
    const why = new Map(body.data.failed.map((one: { id: string; why: string }) => [one.id, one.why]));
    expect(Object.fromEntries(why)).toEqual({
      [dead.id]: 'it is revoked, which is final',
      key_00000000000000000000: 'there is no such key',
      nonsense: 'there is no such key',
    });
  });

  it('are reinstated by the note that they were suspended with, and no others', async () => {
    const campaign = await newCampaign();
    const [lunch, strikes] = (await batch(campaign, 2)) as [{ id: string }, { id: string }];
    await post(`keys/${strikes.id}/suspend`, { note: 'five strikes' });
    const bulk = (filter: object, action: string): Promise<AdminAnswer> =>
      post('keys/bulk', { filter: { campaign, ...filter }, action, note: 'lunch' });
    expect((await bulk({ status: 'active' }, 'suspend')).body.data.changed).toBe(1);
    expect((await bulk({ status: 'suspended', note: 'lunch' }, 'reinstate')).body.data).toMatchObject({ changed: 1 });
    expect(await statuses([lunch.id, strikes.id])).toEqual(['active', 'suspended']);
  });

  it('are at most a thousand; the rest takes another request', async () => {
    const campaign = await newCampaign();
    await batch(campaign, 1_000);
    await batch(campaign, 2);
    const revoke = async () => (await post('keys/bulk', { filter: { campaign }, action: 'revoke' })).body.data;
    expect(await revoke()).toMatchObject({ matched: 1_002, changed: 1_000, remaining: 2 });
    expect(await revoke()).toMatchObject({ matched: 2, changed: 2, remaining: 0 });
    expect((await get(`campaigns/${campaign}`)).body.keys.revoked).toBe(1_002);
  });

  it('change once under an Idempotency-Key', async () => {
    const campaign = await newCampaign();
    await batch(campaign, 2);
    const request = { filter: { campaign }, action: 'suspend' };
    const headers = { 'idempotency-key': `bulk-${campaign}` };
    const [first, again] = [await post('keys/bulk', request, headers), await post('keys/bulk', request, headers)];
    expect(first.body.data.changed).toBe(2);
    expect(again.body).toEqual(first.body);
  });

  it.each([
    ['neither ids nor a filter', {}],
    ['both', { ids: ['key_00000000000000000000'], filter: { label: 'a' } }],
    ['an empty filter, which would mean every key', { filter: {} }],
    ['no ids', { ids: [] }],
    ['too many ids', { ids: Array(1_001).fill('x') }],
    ['an unknown filter', { filter: { budget: '1' } }],
  ])('are refused with %s', async (_, terms) => {
    expect((await post('keys/bulk', { action: 'suspend', ...terms })).status).toBe(400);
  });
});

describe('the list of keys', () => {
  it('is sorted by spend and by the last call, page by page', async () => {
    const campaign = await newCampaign();
    const keys = await batch(campaign, 5);
    const costs = [300n, 100n, 500n, 0n, 100n];
    for (const [index, cost] of costs.entries())
      if (cost > 0n) await accounting.call(keys[index]!, `${keys[index]!.id}-1`, 1_000n, cost);
    await accounting.drained();
    const pages = async (sort: string): Promise<string[]> => {
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const page: AdminAnswer = await get(
          `keys?campaign=${campaign}&sort=${sort}&limit=2${cursor ? `&cursor=${cursor}` : ''}`,
        );
        seen.push(...idsOf(page));
        cursor = page.body.next_cursor as string | null;
      } while (cursor);
      return seen;
    };
    const bySpend = await pages('-spent');
    expect(new Set(bySpend).size).toBe(5);
    expect(bySpend.map((id) => costs[keys.findIndex((key) => key.id === id)])).toEqual([500n, 300n, 100n, 100n, 0n]);
    const byCall = await pages('-last_call');
    expect(byCall.at(-1)).toBe(keys[3]!.id);
    expect(byCall[0]).toBe(keys[4]!.id);
    expect((await shown(keys[3]!.id)).last_call_at).toBeNull();
    expect(Date.parse((await shown(keys[4]!.id)).last_call_at)).toBeGreaterThan(Date.now() - 60_000);
  });

  it('takes no cursor of another order', async () => {
    const campaign = await newCampaign();
    await batch(campaign, 2);
    const spent = (await get(`keys?campaign=${campaign}&sort=-spent&limit=1`)).body.next_cursor as string;
    const newest = (await get(`keys?campaign=${campaign}&limit=1`)).body.next_cursor as string;
    for (const query of [`cursor=${spent}`, `sort=-last_call&cursor=${spent}`, `sort=-spent&cursor=${newest}`])
      expect((await get(`keys?campaign=${campaign}&${query}`)).body.error.param).toBe('cursor');
  });

  it('finds by the begin of the prefix and by a part of the label, without wildcards', async () => {
    const campaign = await newCampaign();
    const labels = ['Ada Lovelace', 'ADA_B', '100 %'];
    const { body } = await post('keys/batch', { campaign, labels });
    const find = async (q: string) =>
      idsOf(await get(`keys?campaign=${campaign}&q=${encodeURIComponent(q)}`)).toSorted();
    const ids: string[] = body.data.map(({ id }: { id: string }) => id);
    expect(await find('ada')).toEqual([ids[0]!, ids[1]!].toSorted());
    expect(await find('%')).toEqual([ids[2]]);
    expect(await find('_')).toEqual([ids[1]]);
    expect(await find(body.data[1].prefix)).toContain(ids[1]);
  });
});

describe('the list of calls', () => {
  it('has each call with its decisions, its result and its cost, by pages and filters', async () => {
    const [campaign, other] = [await newCampaign(), await newCampaign()];
    const [key, second] = (await batch(campaign, 2)) as [{ id: string }, { id: string }];
    const [elsewhere] = (await batch(other, 1)) as [{ id: string }];
    const { id: campaignId } = (await get(`campaigns/${campaign}`)).body;
    const { id: otherId } = (await get(`campaigns/${other}`)).body;
    const recorder = new EventRecorder(accounting.redis);
    const policy = { input: 'gate', output: 'gate', thresholds: {}, onUnavailable: 'closed' } as const;
    const began = Date.now();
    const newId = (): string =>
      `req_${Date.now().toString(16).padStart(12, '0')}${(++number).toString(16).padStart(20, '0')}`;
    const asked = async (of: { id: string }, its: string, model: string, endpoint?: string): Promise<string> => {
      const id = newId();
      const request = {
        kind: 'request' as const,
        id,
        key: of.id,
        campaign: its,
        endpoint,
        model,
        stream: false,
        policy,
      };
      await recorder.record(request);
      return id;
    };
    const judged = (request: string, direction: CheckEvent['direction'], decision: CheckEvent['decision']) =>
      recorder.record({
        kind: 'check',
        id: `chk_${++number}`,
        request,
        key: key.id,
        campaign: campaignId,
        direction,
        guard: 'moderation',
        model: 'omni',
        decision,
        categories: [],
        scores: {},
        reason: null,
        latency_ms: 1,
        policy,
      });
    const paid = await asked(key, campaignId, 'gpt-5.4-mini');
    await accounting.call(key, paid, 1_000_000n, 400_000n);
    await judged(paid, 'input', 'pass');
    await judged(paid, 'output', 'flagged');
    const blocked = await asked(key, campaignId, 'gpt-5.4-nano');
    await accounting.hold(key, blocked, 2_000_000n);
    await accounting.end(key, blocked, 'void');
    await judged(blocked, 'input', 'blocked');
    const running = await asked(second, campaignId, 'gpt-5.4-mini', 'responses');
    await accounting.hold(second, running, 3_000_000n);
    const foreign = await asked(elsewhere, otherId, 'gpt-5.4-mini');
    await accounting.drained();
    await accounting.until(() => isRecordUpToDate(accounting.redis));
    const list = async (query: string) => (await get(`requests?${query}`)).body.data as AdminAnswer['body'][];
    const of = async (query: string) => (await list(query)).map(({ id }: { id: string }) => id);
    expect(await list(`campaign=${campaign}`)).toMatchObject([
      {
        id: running,
        result: 'running',
        held_usd: '0.003',
        paid_usd: '0.00',
        key: second.id,
        checks: 0,
        endpoint: 'responses',
      },
      { id: blocked, result: 'voided', paid_usd: '0.00', input: ['blocked'], output: [], model: 'gpt-5.4-nano' },
      {
        ...{
          id: paid,
          result: 'posted',
          held_usd: '0.001',
          paid_usd: '0.0004',
          campaign,
          endpoint: 'chat.completions',
        },
        ...{ input: ['pass'], output: ['flagged'], checks: 2, stream: false, visitor: expect.any(String) },
      },
    ]);
    expect(await of(`key=${key.id}`)).toEqual([blocked, paid]);
    expect(await of(`campaign=${campaign}&decision=blocked,flagged`)).toEqual([blocked, paid]);
    expect(await of(`campaign=${campaign}&model=gpt-5.4-nano`)).toEqual([blocked]);
    expect(await of(`campaign=${campaign}&endpoint=responses`)).toEqual([running]);
    expect(await of(`campaign=${campaign}&endpoint=chat.completions&model=gpt-5.4-mini`)).toEqual([paid]);
    expect(await of(`campaign=${campaign}&endpoint=nobodys`)).toEqual([]);
    expect(await of(`since=${new Date(began).toISOString()}`)).toEqual([foreign, running, blocked, paid]);
    expect(await of(`campaign=${campaign}&until=${new Date(began).toISOString()}`)).toEqual([]);
    const { visitor } = (await list(`key=${second.id}`))[0];
    expect(await of(`visitor=${visitor}`)).toEqual([running]);
    const first = await get(`requests?campaign=${campaign}&limit=2`);
    expect(idsOf(first)).toEqual([running, blocked]);
    expect(await of(`campaign=${campaign}&cursor=${first.body.next_cursor}`)).toEqual([paid]);
    const csv = await get(`requests?campaign=${campaign}`, CSV);
    const [head, row] = (csv.body as string).split('\n');
    expect(row).toContain(`,${running},${campaign},${second.id},`);
    expect(row!.split(',')[head!.split(',').indexOf('endpoint')]).toBe('responses');
    for (const query of ['decision=good', 'limit=500', 'since=yesterday', 'cursor=x', 'result=posted'])
      expect((await get(`requests?${query}`)).status).toBe(400);
  });
});

describe('a rotation', () => {
  it('takes a note, which the record keeps', async () => {
    const { id } = await accounting.createKey(await newCampaign());
    const { status, body } = await post(`keys/${id}/rotate`, { note: 'it was on a photo' });
    expect([status, body.key]).toEqual([200, expect.stringMatching(/^dp_/)]);
    await post(`keys/${id}/rotate`, {});
    const acts = await accounting.source.query('SELECT note FROM audit.acts WHERE subject = $1 ORDER BY seq', [id]);
    expect(acts).toEqual([{ note: 'rotated: it was on a photo' }, { note: 'rotated' }]);
    expect((await post(`keys/${id}/rotate`, { reason: 'x' })).status).toBe(400);
  });
});
