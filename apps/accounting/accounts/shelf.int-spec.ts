import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { READ, shelved } from '#libs/shelf/shelf.fixture.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { RedisRebuild } from '../recovery/redis.rebuild.js';
import { AccountProjector } from './account.projector.js';
import { BudgetReturner } from './budget.returner.js';

let accounting: AccountingFixture;
let shelf: ShelfStore;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  shelf = accounting.app.get(ShelfStore);
  await accounting.createCampaign('c', { budget_usd: '1000' });
});
afterAll(() => accounting.stop());

const post = (path: string, body: object = {}) => accounting.admin('POST', `/admin/v1${path}`, body);
const change = (path: string, body: object) => accounting.admin('PATCH', `/admin/v1${path}`, body);
/** A key with a response on the shelf. */
const shelvedKey = async (campaign = 'c', terms: object = {}) => {
  const key = await accounting.createKey(campaign, { budget_usd: '1', ...terms });
  expect(await put(key)).toBe('stored');
  return key as { id: string };
};
const put = async ({ id }: { id: string }, response = 'a') => {
  const campaignId = (await accounting.redis.hget(redisKeys.key(id), 'campaign'))!;
  return shelf.put({ keyId: id, campaignId }, shelved(response));
};
const isThere = async ({ id }: { id: string }) => (await shelf.response(id, 'resp_a', READ)) !== null;
const leftOf = ({ id }: { id: string }) => accounting.redis.keys(`*shelf*${id}*`);

describe('what a key may name later', () => {
  it('stays when its token is rotated, its limits change, or it is suspended', async () => {
    const key = await shelvedKey();
    await post(`/keys/${key.id}/rotate`);
    await change(`/keys/${key.id}`, { limits: { rpm: 7 } });
    await post(`/keys/${key.id}/suspend`);
    expect(await isThere(key)).toBe(true);
  });

  it('goes when the key is revoked, and nothing new comes', async () => {
    const [key, other] = [await shelvedKey(), await shelvedKey()];
    await post(`/keys/${key.id}/revoke`);
    expect([await isThere(key), await leftOf(key), await put(key)]).toEqual([false, [], 'full']);
    expect(await isThere(other)).toBe(true);
  });

  it('goes when the time of the key is over, though there is nothing to give back', async () => {
    const key = await shelvedKey();
    await accounting.hold(key, 'all-of-it', 1_000_000_000n);
    await accounting.dispatch('all-of-it');
    await accounting.end(key, 'all-of-it', 'post', 1_000_000_000n);
    await accounting.drained();
    await accounting.source.query(
      "UPDATE access.keys SET expires_at = now() - interval '1 second', settle_at = now() WHERE id = $1",
      [key.id],
    );
    await accounting.app.get(BudgetReturner).returnDue();
    expect([await isThere(key), await leftOf(key)]).toEqual([false, []]);
  });

  it('goes when its campaign is closed, or keeps nothing any more', async () => {
    await accounting.createCampaign('closing');
    await accounting.createCampaign('silent');
    const [first, second] = [await shelvedKey('closing'), await shelvedKey('closing')];
    const [third, fourth] = [await shelvedKey('silent'), await shelvedKey()];
    await change('/campaigns/closing', { status: 'closed' });
    const silent = await change('/campaigns/silent', { moderation: { shelf: 'off' } });
    expect(silent.body.moderation).toMatchObject({ shelf: 'off' });
    for (const key of [first, second, third]) expect(await leftOf(key)).toEqual([]);
    expect(await isThere(fourth)).toBe(true);
    await change(`/keys/${fourth.id}`, { moderation: { shelf: 'off' } });
    expect(await leftOf(fourth)).toEqual([]);
  });

  it('is deleted when the visitor is erased', async () => {
    const key = await shelvedKey();
    await accounting.redis.hset(redisKeys.key(key.id), 'status', 'active');
    await accounting.source.query(`INSERT INTO audit.visitors (id, wrapped_key) VALUES ($1, '\\x00')`, [key.id]);
    await post(`/keys/${key.id}/revoke`);
    // As if a process of the version before had revoked it.
    await accounting.redis.hset(redisKeys.key(key.id), 'status', 'active');
    expect(await put(key)).toBe('stored');
    expect((await post(`/visitors/${key.id}/erase`, { note: 'asked' })).status).toBe(200);
    expect(await leftOf(key)).toEqual([]);
  });

  it('is untouched when accounting fills Redis from the books', async () => {
    const key = await shelvedKey();
    await accounting.app.get(RedisRebuild).run();
    await accounting.app.get(AccountProjector).findBehind();
    expect(await isThere(key)).toBe(true);
  });

  it('is unknown after a loss of Redis, and nothing else is the matter', async () => {
    const key = await shelvedKey();
    await accounting.redis.flushall();
    expect(await isThere(key)).toBe(false);
    await accounting.until(async () => (await accounting.redis.hget(redisKeys.key(key.id), 'status')) === 'active');
    expect([await put(key), await isThere(key)]).toEqual(['stored', true]);
    expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body).toMatchObject({ ok: true });
  });
});
