import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from './accounting.fixture.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '100' });
});
afterAll(() => accounting.stop());

const rebuilt = (former: string | null) =>
  accounting.until(async () => {
    const epoch = await accounting.redis.get(redisKeys.epoch);
    return epoch !== null && epoch !== former;
  });
const show = async (key: { id: string }) => (await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body;
const day = () => redisKeys.operatorDayPrefix + String(Math.floor(Date.now() / 86_400_000));
const verify = async () => (await accounting.admin('GET', '/admin/v1/ledger/verify')).body;

describe('a Redis that comes back empty', () => {
  it('is rebuilt from the ledger, and what was in flight is presumed spent', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1', limits: { rpm: 5 } });
    await accounting.admin('POST', '/admin/v1/keys/batch', { campaign: 'c', count: 1_000 });
    await accounting.admin('POST', '/admin/v1/keys/batch', { campaign: 'c', count: 1_000 });
    const revoked = await accounting.createKey('c');
    await accounting.admin('POST', `/admin/v1/keys/${revoked.id}/revoke`);
    await accounting.call(key, 'lost-1', 300_000_000n, 100_000_000n);
    await accounting.hold(key, 'lost-2', 250_000_000n);
    await accounting.hold(key, 'lost-3', 50_000_000n);
    await accounting.dispatch('lost-3');
    await accounting.drained();
    const epoch = await accounting.redis.get(redisKeys.epoch);

    await accounting.redis.flushall();
    await rebuilt(null);

    expect(Number(await accounting.redis.get(redisKeys.epoch))).toBe(Number(epoch) + 1);
    expect(await show(key)).toMatchObject({ spent_usd: '0.40', held_usd: '0.00', available_usd: '0.60', limits: { rpm: 5 } });
    expect(await accounting.redis.hmget(day(), 'spent', 'held')).toEqual(['400000000', '0']);
    expect(await accounting.redis.hget(redisKeys.key(revoked.id), 'status')).toBe('revoked');
    // A worker that still runs such a call finds nothing to settle; the presumption stands.
    expect((await accounting.end(key, 'lost-3', 'post', 10_000_000n)).outcome).toBe('missing');
    expect(await verify()).toMatchObject({ ok: true, checked: { keys: 2_002, campaigns: 1 }, problems: [], differences: [] });
    await accounting.call(key, 'after-1', 600_000_000n, 1n);
    expect((await accounting.hold(key, 'after-2', 600_000_000n)).code).toBe('insufficient');
  });
});

describe('a Redis that only lost its epoch', () => {
  it('has its journal booked first and no call counted twice', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.app.close();
    await accounting.call(key, 'kept-1', 300_000_000n, 100_000_000n);
    await accounting.hold(key, 'kept-2', 200_000_000n);
    await accounting.redis.del(redisKeys.epoch);
    await accounting.restart();
    await rebuilt(null);
    expect(await show(key)).toMatchObject({ spent_usd: '0.30', held_usd: '0.00', available_usd: '0.70' });
    expect((await accounting.end(key, 'kept-2', 'void')).outcome).toBe('missing');
    expect(await verify()).toMatchObject({ ok: true, problems: [], differences: [] });
  });

  it('is rebuilt by one of several processes', async () => {
    const others = await Promise.all([accounting.another(), accounting.another()]);
    const epoch = Number(await accounting.redis.get(redisKeys.epoch));
    await accounting.redis.del(redisKeys.epoch);
    await rebuilt(null);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(Number(await accounting.redis.get(redisKeys.epoch))).toBe(epoch + 1);
    await Promise.all(others.map((other) => other.close()));
  });
});

describe('a change that Redis does not take at once', () => {
  it('is stored, told as 503, and comes into force by itself', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    // A value of another kind under the key's name makes every write to it fail, as a Redis in trouble would.
    const hash = redisKeys.key(key.id);
    await accounting.redis.rename(hash, `${hash}:aside`);
    await accounting.redis.set(hash, 'in the way');
    const { status, body } = await accounting.admin('POST', `/admin/v1/keys/${key.id}/suspend`);
    expect([status, body.error.code]).toEqual([503, 'not_projected']);
    await accounting.redis.rename(`${hash}:aside`, hash);
    await accounting.until(async () => (await accounting.redis.hget(hash, 'status')) === 'suspended');
    expect((await show(key)).status).toBe('suspended');
  });

  it('was a reduction that Redis took and Postgres never committed: the committed budget comes back', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.app.close();
    await accounting.redis.hset(redisKeys.key(key.id), 'version', 2, 'budget', '5');
    await accounting.restart();
    await accounting.until(async () => (await accounting.redis.hget(redisKeys.key(key.id), 'budget')) === '1000000000');
    await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { label: 'works' });
    expect(await accounting.redis.hget(redisKeys.key(key.id), 'label')).toBe('works');
    expect(await verify()).toMatchObject({ ok: true });
  });
});
