import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { readiness } from '../accounting.readiness.js';

let accounting: AccountingFixture;
let postgres: Client;
let database: string;
let key: { id: string };
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '100' });
  key = await accounting.createKey('c', { budget_usd: '1' });
  const url = new URL(accounting.config.databaseUrl);
  database = url.pathname.slice(1);
  url.pathname = '/postgres';
  postgres = new Client({ connectionString: url.href });
  await postgres.connect();
});
afterAll(async () => {
  await postgres.end();
  await accounting.stop();
});

async function closePostgres(): Promise<void> {
  await postgres.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS false`);
  await postgres.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
}
const openPostgres = () => postgres.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true`);

describe('while Postgres is away', () => {
  it('calls go on, the journal waits, and everything is booked when it is back', async () => {
    await accounting.call(key, 'before', 1_000n, 10n);
    await accounting.drained();
    await closePostgres();
    const ready = readiness(accounting.source, accounting.redis);
    await expect(ready()).rejects.toThrow();
    for (let n = 0; n < 20; n++) await accounting.call(key, `during-${n}`, 1_000n, 10n);
    expect(await accounting.redis.xlen(redisKeys.journal)).toBe(60);

    const { status, body } = await accounting.admin('GET', '/admin/v1/campaigns');
    expect([status, body.error.code]).toEqual([503, 'store_unavailable']);
    const patch = await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '0.5' });
    expect(patch.status).toBe(503);

    await openPostgres();
    await accounting.drained();
    await expect(ready()).resolves.toBeUndefined();
    const { body: books } = await accounting.admin('GET', '/admin/v1/ledger/verify');
    expect(books).toMatchObject({ ok: true, problems: [], differences: [] });
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body).toMatchObject({
      budget_usd: '1.00',
      spent_usd: '0.00000021',
    });
  });

  it('a running service can be stopped without losing what it read', async () => {
    await closePostgres();
    await accounting.call(key, 'at-the-end', 1_000n, 10n);
    await accounting.app.close();
    await openPostgres();
    await accounting.restart();
    await accounting.drained();
    expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body).toMatchObject({ ok: true });
  });
});

describe('while Redis does not take what is written', () => {
  it('the admin API answers 503 within seconds, and stores no key whose secret nobody would see', async () => {
    await accounting.redis.config('SET', 'maxclients', 1);
    await accounting.redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const { status, body } = await accounting.admin('GET', `/admin/v1/keys/${key.id}`);
    expect([status, body.error.code]).toEqual([503, 'store_unavailable']);
    const create = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'c', label: 'unseen' });
    expect([create.status, create.body.error.code]).toEqual([503, 'store_unavailable']);
    await accounting.redis.config('SET', 'maxclients', 10_000);
    await accounting.until(async () => (await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).status === 200);
    expect((await accounting.admin('GET', '/admin/v1/keys?label=unseen')).body.data).toEqual([]);
  });
});
