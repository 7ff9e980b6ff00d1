import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { redisKeys } from '#libs/redis/keys.js';
import { hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { IdempotencyStore } from './idempotency.store.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '100' });
});
afterAll(() => accounting.stop());

const send = (name: string, method: string, path: string, body?: unknown) =>
  accounting.admin(method, `/admin/v1/${path}`, body, { 'idempotency-key': name });
const fund = (name: string, amount = '1') => send(name, 'POST', 'campaigns/c/fund', { amount_usd: amount });
const budget = async () => Number((await accounting.admin('GET', '/admin/v1/campaigns/c')).body.budget_usd);
const rows = (sql: string, parameters: unknown[] = []) =>
  accounting.source.query<Record<string, unknown>[]>(sql, parameters);

async function whileNoAnswerCanBeKept(work: () => Promise<void>): Promise<void> {
  const owner = new Client({ connectionString: accounting.config.databaseUrl });
  await owner.connect();
  await owner.query('ALTER TABLE access.idempotent_writes ADD CONSTRAINT broken CHECK (false) NOT VALID');
  try {
    await work();
  } finally {
    await owner.query('ALTER TABLE access.idempotent_writes DROP CONSTRAINT broken');
    await owner.end();
  }
}

describe('every write', () => {
  it.each<[string, string, (id: string) => string, unknown]>([
    [
      'a campaign',
      'POST',
      () => 'campaigns',
      { slug: 'again', name: 'Again', budget_usd: '1', models: ['gpt-5.4-mini'] },
    ],
    ['a changed campaign', 'PATCH', () => 'campaigns/c', { name: 'Changed' }],
    ['a fund', 'POST', () => 'campaigns/c/fund', { amount_usd: '1' }],
    ['a key', 'POST', () => 'keys', { campaign: 'c', label: 'k' }],
    ['a batch', 'POST', () => 'keys/batch', { campaign: 'c', label: 'b', count: 50 }],
    ['a changed key', 'PATCH', (id) => `keys/${id}`, { budget_usd: '0.5' }],
    ['a suspension', 'POST', (id) => `keys/${id}/suspend`, { note: 'x' }],
    ['a reinstatement', 'POST', (id) => `keys/${id}/reinstate`, undefined],
    ['a rotation', 'POST', (id) => `keys/${id}/rotate`, undefined],
    ['a revocation', 'POST', (id) => `keys/${id}/revoke`, { note: 'y' }],
  ])('has its effect once: %s', async (_, method, path, body) => {
    const { id } = await accounting.createKey('c', { budget_usd: '1' });
    const name = randomUUID();
    const first = await send(name, method, path(id), body);
    const [written] = await rows('SELECT written FROM access.idempotent_writes WHERE key = $1', [name]);
    const state = () =>
      rows(
        `SELECT id, version, status, budget_nano FROM access.keys WHERE id = ANY ($1)
         UNION ALL SELECT id, version, status, budget_nano FROM access.campaigns WHERE id = ANY ($1) ORDER BY id`,
        [written!.written],
      );
    const [accounts, before] = [await rows('SELECT count(*) FROM access.keys'), await state()];
    const again = await send(name, method, path(id), body);
    expect([again.status, again.body]).toEqual([first.status, first.body]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(before.length).toBeGreaterThan(0);
    // Accounting returns a revoked key's unspent budget meanwhile.
    if (!path(id).endsWith('revoke')) expect(await state()).toEqual(before);
    expect(await rows('SELECT count(*) FROM access.keys')).toEqual(accounts);
  });

  it('are explained in the docs', async () => {
    const { paths } = (await accounting.admin('GET', '/admin/docs-json')).body as {
      // oxlint-disable-next-line typescript/no-explicit-any
      paths: Record<string, Record<string, any>>;
    };
    const operations = Object.values(paths).flatMap((path) => Object.entries(path));
    // Their answers are a cookie, a secret, or what a visitor wrote: nobody keeps them. A replay writes nothing.
    const UNKEPT = ['/session', '/requests/{id}/open', '/moderation/replay'];
    const kept = Object.entries(paths).filter(([path]) => !UNKEPT.some((part) => path.includes(part)));
    const writes = kept.flatMap(([, path]) => Object.entries(path)).filter(([method]) => method !== 'get');
    expect(writes.length).toBeGreaterThanOrEqual(20);
    for (const [, { summary, parameters, responses }] of writes) {
      const header = parameters.find(({ name }: { name: string }) => name === 'idempotency-key');
      expect([summary, header]).toMatchObject([summary, { in: 'header', required: false }]);
      expect([summary, ...Object.keys(responses)]).toContain('409');
    }
    for (const [, { parameters }] of operations.filter(([method]) => method === 'get'))
      expect((parameters as { name: string }[]).map(({ name }) => name)).not.toContain('idempotency-key');
  });
});

describe('an effect and its answer', () => {
  it('are there both or neither', async () => {
    const [before, name] = [await budget(), randomUUID()];
    // A crash in between would leave this: the effect without its answer.
    await whileNoAnswerCanBeKept(async () => {
      expect((await fund(name)).status).toBe(500);
      expect(await budget()).toBe(before);
    });
    expect((await fund(name)).status).toBe(200);
    expect((await fund(name)).headers.get('idempotent-replayed')).toBe('true');
    expect(await budget()).toBe(before + 1);
  });

  it('that Redis did not take at once are answered under the same name as soon as it does', async () => {
    const [before, name] = [await budget(), randomUUID()];
    const { id } = (await accounting.admin('GET', '/admin/v1/campaigns/c')).body;
    // Redis answers reads, and takes no more writes.
    await accounting.redis.config('SET', 'min-replicas-to-write', 1);
    for (let time = 0; time < 2; time++) {
      const { status, body } = await fund(name);
      expect([status, body.error.code]).toEqual([503, 'not_projected']);
    }
    await accounting.redis.config('SET', 'min-replicas-to-write', 0);
    const { status, body, headers } = await fund(name);
    expect([status, Number(body.budget_usd), headers.get('idempotent-replayed')]).toEqual([200, before + 1, 'true']);
    expect(await accounting.redis.hget(redisKeys.campaign(id), 'budget')).toBe(`${before + 1}000000000`);
  });

  it('of a reduction that cannot be kept leave Redis as it was', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    const name = randomUUID();
    await whileNoAnswerCanBeKept(async () => {
      expect((await send(name, 'PATCH', `keys/${key.id}`, { budget_usd: '0.5' })).status).toBe(500);
    });
    await accounting.until(async () => (await accounting.redis.hget(redisKeys.key(key.id), 'budget')) === '1000000000');
    expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body).toMatchObject({
      ok: true,
      differences: [],
    });
  });

  it('are not waited for by each other, though there are more of them than connections', async () => {
    const before = await budget();
    const answers = await Promise.all(Array.from({ length: 60 }, () => fund(randomUUID())));
    expect(answers.map(({ status }) => status)).toEqual(Array(60).fill(200));
    expect(await budget()).toBe(before + 60);
  });
});

describe('a kept answer', () => {
  it('survives a restart, with the virtual key in it', async () => {
    const name = randomUUID();
    const first = await send(name, 'POST', 'keys', { campaign: 'c' });
    await accounting.restart();
    const { body } = await send(name, 'POST', 'keys', { campaign: 'c' });
    expect(body).toEqual(first.body);
    const answer = await accounting.holds.readKey(hashVirtualKey(body.key, accounting.config.secrets.tokenPepper));
    expect(answer).toMatchObject({ code: 'ok', key: { id: first.body.id } });
  });

  it('goes when its time is over: the name is free, and the sweep removes what is left', async () => {
    const [before, name, other] = [await budget(), randomUUID(), randomUUID()];
    await fund(name);
    await fund(other);
    await rows(`UPDATE access.idempotent_writes SET expires_at = now() - interval '1 second' WHERE key = ANY ($1)`, [
      [name, other],
    ]);
    const { headers, status } = await fund(name, '2');
    expect([status, headers.get('idempotent-replayed')]).toEqual([200, null]);
    expect(await budget()).toBe(before + 4);
    expect(await accounting.app.get(IdempotencyStore).sweep()).toBe(1);
    expect(await rows('SELECT key FROM access.idempotent_writes WHERE key = ANY ($1)', [[name, other]])).toEqual([
      { key: name },
    ]);
  });

  it('is none of a reader, nor of one without the admin token', async () => {
    const name = randomUUID();
    expect((await send(name, 'GET', 'campaigns/c')).headers.get('idempotent-replayed')).toBeNull();
    const { status } = await accounting.admin(
      'POST',
      '/admin/v1/campaigns/c/fund',
      { amount_usd: '1' },
      { authorization: '', 'idempotency-key': name },
    );
    expect(status).toBe(401);
    expect(await rows('SELECT key FROM access.idempotent_writes WHERE key = $1', [name])).toEqual([]);
  });
});
