import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Door } from '#libs/holds/door.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { isBefore } from '../books/event.stream.js';
import { journalHead } from '../books/journal.stream.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '100' });
});
afterAll(() => accounting.stop());

const doorOf = () => new Door(accounting.redis);
const number = async () => (await doorOf().read())?.number ?? 0;
/** Waits until the door is open under a higher epoch. */
const reopened = (former: number) =>
  accounting.until(async () => {
    const state = await doorOf().read();
    return state !== null && state.number > former && (await doorOf().isOpen());
  });
const show = async (key: { id: string }) => (await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body;
const day = () => redisKeys.operatorPrefix + String(Math.floor(Date.now() / 86_400_000));
const verify = async () => (await accounting.admin('GET', '/admin/v1/ledger/verify')).body;
const lapse = (requestId: string) => accounting.redis.zadd(redisKeys.leases, 'XX', 1, requestId);
const stateOf = (requestId: string) => accounting.redis.hget(redisKeys.hold(requestId), 'state');
const SOUND = { ok: true, problems: [], differences: [] };

describe('a Redis that comes back empty', () => {
  it('is rebuilt from the ledger: open calls are there again, as far as they were', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1', limits: { rpm: 5 } });
    await accounting.admin('POST', '/admin/v1/keys/batch', { campaign: 'c', count: 1_000 });
    await accounting.admin('POST', '/admin/v1/keys/batch', { campaign: 'c', count: 1_000 });
    const revoked = await accounting.createKey('c');
    await accounting.admin('POST', `/admin/v1/keys/${revoked.id}/revoke`);
    await accounting.call(key, 'lost-1', 300_000_000n, 100_000_000n);
    const leaky = await accounting.createCampaign('leaky', { budget_usd: '1' });
    await accounting.call(await accounting.createKey('leaky'), 'absorbed-1', 0n, 70_000_000n);
    await accounting.hold(key, 'waiting', 250_000_000n);
    await accounting.hold(key, 'running', 50_000_000n);
    await accounting.dispatch('running');
    await accounting.hold(key, 'deferred', 20_000_000n);
    await accounting.dispatch('deferred');
    await accounting.holds.defer({ requestId: 'deferred', lane: 'lane', slot: 'lane', attempt: 1, freezeMs: 1 });
    await accounting.drained();
    const before = await number();

    await accounting.redis.flushall();
    await reopened(before);

    expect(await number()).toBe(before + 1);
    expect(await show(key)).toMatchObject({
      spent_usd: '0.10',
      held_usd: '0.32',
      available_usd: '0.58',
      limits: { rpm: 5 },
    });
    for (const hash of [day(), redisKeys.operatorTotal])
      expect(await accounting.redis.hmget(hash, 'spent', 'held', 'absorbed')).toEqual([
        '100000000',
        '320000000',
        '70000000',
      ]);
    expect((await accounting.admin('GET', '/admin/v1/campaigns/leaky')).body).toMatchObject({
      id: leaky.id,
      spent_usd: '0.00',
      absorbed_usd: '0.07',
      available_usd: '0.93',
    });
    expect(await accounting.redis.hget(redisKeys.key(revoked.id), 'status')).toBe('revoked');
    expect(await accounting.redis.hget(redisKeys.key(key.id), 'running')).toBe('3');
    expect([await stateOf('waiting'), await stateOf('running'), await stateOf('deferred')]).toEqual([
      'held',
      'dispatched',
      'held',
    ]);
    // Redis has recent ends again, so that a worker who repeats one changes nothing.
    expect((await accounting.end(key, 'lost-1', 'post', 100_000_000n)).outcome).toBe('repeated');
    // A worker goes on with its call. The sweeper ends the others by their state.
    expect((await accounting.end(key, 'running', 'post', 10_000_000n)).outcome).toBe('applied');
    for (const id of ['waiting', 'deferred']) await lapse(id);
    await accounting.until(
      async () => (await stateOf('waiting')) === 'voided' && (await stateOf('deferred')) === 'voided',
    );
    expect(await show(key)).toMatchObject({ spent_usd: '0.11', held_usd: '0.00' });
    expect(await verify()).toMatchObject({ ...SOUND, checked: { keys: 2_003, campaigns: 2 } });
    await accounting.call(key, 'after-1', 600_000_000n, 1n);
    expect((await accounting.hold(key, 'after-2', 889_999_999n)).code).toBe('ok');
    expect((await accounting.hold(key, 'after-3', 1n)).code).toBe('insufficient');
    await accounting.end(key, 'after-2', 'void');
  });

  it('takes claims for calls that it lost before the ledger had them, and never spends above the budget for them', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    const campaignId = (await accounting.redis.hget(redisKeys.key(key.id), 'campaign'))!;
    const before = await number();
    await accounting.redis.flushall();
    await accounting.until(async () => (await doorOf().read())?.phase === 'settling');
    // No call begins before the door opens.
    expect((await accounting.hold(key, 'too-early', 1n)).code).toBe('recovering');
    const claim = {
      keyId: key.id,
      campaignId,
      lane: 'lane',
      replyTo: 'ingress',
      day: Math.floor(Date.now() / 86_400_000),
      attempt: 1,
    };
    expect(await accounting.holds.claim({ ...claim, requestId: 'unknown-1', amountNano: 700_000_000n })).toBe(
      'claimed',
    );
    expect(await accounting.holds.claim({ ...claim, requestId: 'unknown-1', amountNano: 700_000_000n })).toBe('known');
    // It costs more than is free. The operator absorbs the rest.
    expect(await accounting.holds.claim({ ...claim, requestId: 'unknown-2', amountNano: 500_000_000n })).toBe(
      'claimed',
    );
    await reopened(before);
    expect(await show(key)).toMatchObject({ held_usd: '1.00', available_usd: '0.00' });
    const dispatched = { amountNano: 500_000_000n, day: claim.day, attempt: 1 };
    const ends = [];
    for (const [requestId, costNano] of [
      ['unknown-1', 100_000_000n],
      ['unknown-2', 400_000_000n],
      ['never-claimed', 50_000_000n],
    ] as const) {
      ends.push(
        await accounting.holds.end({ ...claim, requestId, transition: 'post', costNano, detail: {}, dispatched }),
      );
    }
    expect(ends.map(({ paidNano, absorbedNano }) => [paidNano, absorbedNano])).toEqual([
      [100_000_000n, 0n],
      [300_000_000n, 100_000_000n],
      [50_000_000n, 0n],
    ]);
    expect(await show(key)).toMatchObject({ spent_usd: '0.45', held_usd: '0.00' });
    await accounting.drained();
    expect(await verify()).toMatchObject(SOUND);
  });
});

describe('a Redis that only lost its epoch', () => {
  it('has its journal booked first and no call counted twice', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    const before = await number();
    await accounting.app.close();
    await accounting.call(key, 'kept-1', 300_000_000n, 100_000_000n);
    await accounting.hold(key, 'kept-2', 200_000_000n);
    await doorOf().close();
    await accounting.restart();
    await reopened(before);
    expect(await show(key)).toMatchObject({ spent_usd: '0.10', held_usd: '0.20', available_usd: '0.70' });
    expect((await accounting.end(key, 'kept-2', 'void')).outcome).toBe('applied');
    await accounting.drained();
    expect(await verify()).toMatchObject(SOUND);
  });

  it('is rebuilt by one of several processes', async () => {
    const others = await Promise.all([accounting.another(), accounting.another()]);
    const before = await number();
    await doorOf().close();
    await reopened(before);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await number()).toBe(before + 1);
    await Promise.all(others.map((other) => other.close()));
  });
});

describe('a Redis that comes back older than the ledger', () => {
  it('is rebuilt, and its journal goes on above the ids that were booked', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.drained();
    const before = await number();
    const old = await accounting.redis.hgetall(redisKeys.key(key.id));
    await accounting.call(key, 'forgotten', 300_000_000n, 100_000_000n);
    await accounting.drained();
    const booked = await journalHead(accounting.redis);
    // The last moments of the append-only file are gone, and Redis has started again.
    await accounting.redis.hset(redisKeys.key(key.id), old);
    await accounting.redis.del(redisKeys.hold('forgotten'), redisKeys.journal);
    await accounting.redis.set(redisKeys.epoch, `open another-run ${before}`);
    expect((await accounting.hold(key, 'at-once', 1n)).code).toBe('recovering');
    await reopened(before);
    expect(await show(key)).toMatchObject({ spent_usd: '0.10', held_usd: '0.00' });
    expect(await stateOf('forgotten')).toBe('posted');
    expect(isBefore(await journalHead(accounting.redis), booked)).toBe(false);
    await accounting.call(key, 'afterwards', 300_000_000n, 100_000_000n);
    await accounting.drained();
    expect(await show(key)).toMatchObject({ spent_usd: '0.20' });
    expect(await verify()).toMatchObject(SOUND);
  });

  it('is rebuilt though the ledger commits only now what it had read before', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.call(key, 'before', 300_000_000n, 100_000_000n);
    await accounting.drained();
    const before = await number();
    const old = await accounting.redis.hgetall(redisKeys.key(key.id));
    await accounting.hold(key, 'under-way', 300_000_000n);
    await accounting.dispatch('under-way');
    await accounting.drained();
    const runner = accounting.source.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT FROM ledger.balances FOR UPDATE');
    const waiting = async () => {
      const blocked = `SELECT count(DISTINCT pid)::int AS count FROM pg_locks WHERE NOT granted`;
      return (await accounting.source.query<{ count: number }[]>(blocked))[0]!.count;
    };
    // One entry alone: of two the drain may read only the first, and the second would be lost below.
    await accounting.end(key, 'under-way', 'post', 200_000_000n);
    await accounting.until(async () => (await waiting()) === 1);
    await accounting.redis.hset(redisKeys.key(key.id), old);
    await accounting.redis.del(redisKeys.hold('under-way'), redisKeys.journal);
    await accounting.redis.set(redisKeys.epoch, `open another-run ${before}`);
    // Now the drain waits for the balances, and whoever checks the door waits for the drain.
    await accounting.until(async () => (await waiting()) === 2);
    await runner.commitTransaction();
    await runner.release();
    await reopened(before);
    expect(await show(key)).toMatchObject({ spent_usd: '0.30', held_usd: '0.00' });
    expect(await stateOf('under-way')).toBe('posted');
    expect(await verify()).toMatchObject(SOUND);
  });

  it('though nothing of its journal is missing, learns again what was changed about keys', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.drained();
    const before = await number();
    const old = await accounting.redis.hgetall(redisKeys.key(key.id));
    await accounting.admin('POST', `/admin/v1/keys/${key.id}/revoke`);
    await accounting.redis.hset(redisKeys.key(key.id), old);
    await accounting.redis.set(redisKeys.epoch, `open another-run ${before}`);
    await reopened(before);
    expect(await accounting.redis.hget(redisKeys.key(key.id), 'status')).toBe('revoked');
  });
});

describe('a change that Redis does not take at once', () => {
  it('is stored, answered with 503, and comes into force by itself', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    // A value of another kind under the key's name makes every write to it fail, as in a broken Redis.
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
