import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Door } from '#libs/holds/door.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { BudgetReturner } from './budget.returner.js';

/** door.keeper.ts */
const DOOR_LOCK = 0x64_70_02;

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '1000' });
});
afterAll(() => accounting.stop());

const show = async ({ id }: { id: string }) => (await accounting.admin('GET', `/admin/v1/keys/${id}`)).body;
const revoke = ({ id }: { id: string }) => accounting.admin('POST', `/admin/v1/keys/${id}/revoke`);
const change = ({ id }: { id: string }, body: object) => accounting.admin('PATCH', `/admin/v1/keys/${id}`, body);
const returned = (key: { id: string }, usd: string) =>
  accounting.until(async () => (await show(key)).returned_usd === usd);
const lookAgain = ({ id }: { id: string }) =>
  accounting.source.query('UPDATE access.keys SET settle_at = now() WHERE id = $1', [id]);
const budgetsOf = async ({ id }: { id: string }) =>
  (await accounting.admin('GET', `/admin/v1/keys/${id}/transfers`)).body.data
    .filter(({ request_id }: { request_id: string | null }) => request_id === null)
    .map(({ kind, amount_usd }: { kind: string; amount_usd: string }) => [kind, amount_usd]);
const expectBooksRight = async () => {
  const { ok, problems, differences } = (await accounting.admin('GET', '/admin/v1/ledger/verify')).body;
  expect({ ok, problems, differences }).toEqual({ ok: true, problems: [], differences: [] });
};

describe('a closed key', () => {
  it('gives back again what a correction refunds after its budget went back', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.hold(key, 'presumed', 600_000_000n);
    await accounting.dispatch('presumed');
    await accounting.end(key, 'presumed', 'presume');
    await revoke(key);
    await returned(key, '0.40');
    await accounting.end(key, 'presumed', 'post', 100_000_000n);
    await accounting.drained();
    expect(await show(key)).toMatchObject({ budget_usd: '0.60', spent_usd: '0.10', available_usd: '0.50' });
    await lookAgain(key);
    await returned(key, '0.90');
    expect(await show(key)).toMatchObject({ budget_usd: '0.10', spent_usd: '0.10', available_usd: '0.00' });
    expect(await budgetsOf(key)).toEqual([
      ['return', '-0.50'],
      ['return', '-0.40'],
      ['grant', '1.00'],
    ]);
    await expectBooksRight();
  });

  it('keeps no answers for repeats, though there is nothing to give back', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.hold(key, 'all-of-it', 1_000_000_000n);
    await accounting.dispatch('all-of-it');
    await accounting.end(key, 'all-of-it', 'post', 1_000_000_000n);
    await accounting.drained();
    const ofKey = redisKeys.keptPrefix + key.id;
    await accounting.redis.hset(ofKey, 'name', '700', 'bytes', '700');
    await accounting.redis.set(redisKeys.keptBytes, '700');
    // Its time is over, and nobody has changed it.
    await accounting.source.query(
      "UPDATE access.keys SET expires_at = now() - interval '1 second', settle_at = now() WHERE id = $1",
      [key.id],
    );
    await accounting.app.get(BudgetReturner).returnDue();
    await accounting.until(async () => (await accounting.redis.exists(ofKey)) === 0);
    expect(await accounting.redis.get(redisKeys.keptBytes)).toBe('0');
  });

  it('keeps its budget as long as one of its calls runs', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.hold(key, 'still-running', 600_000_000n);
    await revoke(key);
    await lookAgain(key);
    await accounting.app.get(BudgetReturner).returnDue();
    expect(await show(key)).toMatchObject({ budget_usd: '1.00', held_usd: '0.60', returned_usd: '0.00' });
    await accounting.end(key, 'still-running', 'void');
    await returned(key, '1.00');
    await expectBooksRight();
  });

  it('that was suspended when its time ended gives back, too', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1', ttl_seconds: 1 });
    await accounting.admin('POST', `/admin/v1/keys/${key.id}/suspend`);
    await returned(key, '1.00');
    expect(await budgetsOf(key)).toEqual([
      ['expire', '-1.00'],
      ['grant', '1.00'],
    ]);
  });

  it('has its money again when its time is extended, and not before', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1', ttl_seconds: 1 });
    await returned(key, '1.00');
    expect((await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '2' })).status).toBe(409);
    const { body } = await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { ttl_seconds: 600 });
    expect(body).toMatchObject({ budget_usd: '1.00', returned_usd: '0.00', status: 'active' });
    expect((await accounting.hold(key, 'again', 900_000_000n)).code).toBe('ok');
    await accounting.end(key, 'again', 'void');
    await expectBooksRight();
  });

  it('can be extended under another budget, and ends again', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.call(key, 'first-life', 250_000_000n, 250_000_000n);
    await change(key, { expires_at: '2020-01-01T00:00:00Z' });
    await returned(key, '0.75');
    expect((await change(key, { label: 'still over' })).body).toMatchObject({
      budget_usd: '0.25',
      returned_usd: '0.75',
      status: 'expired',
    });
    const below = await change(key, { ttl_seconds: 600, budget_usd: '0.2' });
    expect([below.status, below.body.error.param]).toEqual([409, 'budget_usd']);
    expect((await change(key, { ttl_seconds: 600, budget_usd: '0.5' })).body).toMatchObject({
      budget_usd: '0.50',
      returned_usd: '0.00',
      status: 'active',
    });
    await accounting.call(key, 'second-life', 250_000_000n, 100_000_000n);
    await revoke(key);
    await returned(key, '0.15');
    expect(await show(key)).toMatchObject({ budget_usd: '0.35', spent_usd: '0.35' });
    await expectBooksRight();
  });

  it('gives back once, though two processes return it at once', async () => {
    const other = await accounting.another();
    try {
      const keys = await accounting.admin('POST', '/admin/v1/keys/batch', {
        campaign: 'c',
        budget_usd: '1',
        ttl_seconds: 1,
        count: 100,
      });
      await sleep(1_000);
      const returners = [accounting.app.get(BudgetReturner), other.get(BudgetReturner)];
      await Promise.all(returners.map((returner) => returner.returnDue()));
      for (const key of keys.body.data) await returned(key, '1.00');
      const [{ count }] = await accounting.source.query<[{ count: string }]>(
        `SELECT count(*) FROM ledger.transfers WHERE kind = 'expire' AND key_id = ANY ($1)`,
        [keys.body.data.map(({ id }: { id: string }) => id)],
      );
      expect(count).toBe('100');
      await expectBooksRight();
    } finally {
      await other.close();
    }
  });

  it('waits while Redis is being mended', async () => {
    const door = new Door(accounting.redis);
    const { number } = (await door.read())!;
    const key = await accounting.createKey('c', { budget_usd: '1' });
    // Another process holds the lock, and the door keeper of this one waits for it.
    const mender = accounting.source.createQueryRunner();
    await mender.query('SELECT pg_advisory_lock($1)', [DOOR_LOCK]);
    await door.set('settling', number);
    await change(key, { expires_at: '2020-01-01T00:00:00Z' });
    await accounting.app.get(BudgetReturner).returnDue();
    expect(await show(key)).toMatchObject({ status: 'expired', returned_usd: '0.00' });
    await mender.query('SELECT pg_advisory_unlock($1)', [DOOR_LOCK]);
    await mender.release();
    await returned(key, '1.00');
  });

  it('costs nothing when it has been closed for long, however many there are', async () => {
    await accounting.source.query(`UPDATE access.keys SET settle_at = NULL WHERE closed_at IS NOT NULL`);
    const plan = await accounting.source.transaction(async (manager) => {
      await manager.query(
        `INSERT INTO access.keys (id, campaign_id, label, status, token_hash, prefix, budget_nano, returned_nano, limits, version, projected_version, created_at, updated_at, closed_at)
         SELECT 'key_old' || n, (SELECT id FROM access.campaigns LIMIT 1), '', 'revoked', 'old' || n, 'dp_', 0, 0, '{}', 1, 1, now(), now(), now()
           FROM generate_series(1, 20000) n`,
      );
      const rows = await manager.query<Record<string, string>[]>(
        'EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM access.keys WHERE settle_at <= now() ORDER BY settle_at LIMIT 500',
      );
      await manager.query('DELETE FROM access.keys WHERE prefix = $1', ['dp_']);
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    });
    expect(plan).toContain('keys_settle_idx');
    expect(Number(/Buffers: shared hit=(\d+)/.exec(plan)?.[1])).toBeLessThan(50);
  });
});

describe('topping up and down beside running calls', () => {
  it('never lets a call and a reduction have the same money, and loses none', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    let calling = true;
    let [made, refused] = [0, 0];
    const traffic = Array.from({ length: 6 }, async (_, lane) => {
      for (let n = 0; calling; n++) {
        const id = `topup-${lane}-${n}`;
        const { code } = await accounting.hold(key, id, 50_000_000n);
        if (code !== 'ok') {
          refused += 1;
          await sleep(2);
          continue;
        }
        made += 1;
        await accounting.dispatch(id);
        await accounting.end(key, id, 'post', 1_000_000n);
      }
    });
    let watching = true;
    const overspent: string[] = [];
    const watch = (async () => {
      while (watching) {
        const [budget, spent, held] = (
          await accounting.redis.hmget(`{dp}:key:${key.id}`, 'budget', 'spent', 'held')
        ).map(Number) as [number, number, number];
        if (spent + held > budget) overspent.push(`${spent} + ${held} > ${budget}`);
      }
    })();
    const statuses = new Set<number>();
    let last = '1.00';
    for (let round = 0; round < 60; round++) {
      const { status, body } = await change(key, {
        budget_usd: round % 2 ? `${1 + round / 10}` : (Number((await show(key)).spent_usd) + 0.1).toFixed(9),
      });
      statuses.add(status);
      if (status === 200) last = body.budget_usd;
      else expect(body.error).toMatchObject({ code: 'conflict', param: 'budget_usd' });
    }
    calling = false;
    await Promise.all(traffic);
    watching = false;
    await watch;
    expect(overspent).toEqual([]);
    expect(statuses).toEqual(new Set([200, 409]));
    expect(made).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(0);
    expect((await show(key)).budget_usd).toBe(last);
    await expectBooksRight();
  });
});
