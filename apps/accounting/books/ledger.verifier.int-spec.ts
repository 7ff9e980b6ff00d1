import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { LedgerVerifier } from './ledger.verifier.js';

let accounting: AccountingFixture;
let key: { id: string };
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '1000' });
  key = await accounting.createKey('c', { budget_usd: '100' });
});
afterAll(() => accounting.stop());

const verify = async () => (await accounting.admin('GET', '/admin/v1/ledger/verify')).body;

describe('GET /admin/v1/ledger/verify', () => {
  it('finds nothing wrong with calls of every ending and with changed budgets', async () => {
    await accounting.call(key, 'posted', 1_000n, 400n);
    await accounting.call(key, 'absorbed', 1_000n, 1_400n);
    await accounting.hold(key, 'voided', 1_000n);
    await accounting.end(key, 'voided', 'void');
    await accounting.hold(key, 'corrected', 1_000n);
    await accounting.dispatch('corrected');
    await accounting.end(key, 'corrected', 'presume');
    await accounting.end(key, 'corrected', 'post', 300n);
    await accounting.hold(key, 'free', 0n);
    await accounting.end(key, 'free', 'void');
    await accounting.hold(key, 'running', 1_000n);
    await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '50' });
    await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '60' });
    await accounting.admin('PATCH', '/admin/v1/campaigns/c', { budget_usd: '900' });
    await accounting.admin('POST', '/admin/v1/campaigns/c/fund', { amount_usd: '1' });
    const { ok, checked, problems, differences } = await verify();
    expect({ ok, problems, differences }).toEqual({ ok: true, problems: [], differences: [] });
    // fund, grant, two changes of the key, two of the campaign, six holds, five ends, one correction
    expect(checked).toEqual({ transfers: 18, entries: 34, rejected_events: 0, keys: 1, campaigns: 1 });
  });

  it('raises no false alarm while calls run', async () => {
    let calling = true;
    const traffic = Array.from({ length: 8 }, async (_, lane) => {
      for (let n = 0; calling; n++) await accounting.call(key, `traffic-${lane}-${n}`, 1_000n, 10n);
    });
    for (let round = 0; round < 5; round++) {
      const { ok, problems, differences } = await verify();
      expect({ ok, problems, differences }).toEqual({ ok: true, problems: [], differences: [] });
    }
    calling = false;
    await Promise.all(traffic);
  });

  it.each([
    ['spent', 'spent_usd'],
    ['held', 'held_usd'],
    ['budget', 'budget_usd'],
    ['absorbed', 'absorbed_usd'],
  ])("finds a %s in Redis that is not the ledger's", async (field, reported) => {
    await accounting.redis.hincrby(redisKeys.key(key.id), field, 7);
    const { ok, differences } = await verify();
    expect(ok).toBe(false);
    expect(differences).toEqual([
      { id: key.id, field: reported, ledger: expect.any(String), redis: expect.any(String) },
    ]);
    await accounting.redis.hincrby(redisKeys.key(key.id), field, -7);
    expect((await verify()).ok).toBe(true);
  });

  it("finds a campaign's balance that is not the ledger's", async () => {
    const { body } = await accounting.admin('GET', '/admin/v1/campaigns/c');
    await accounting.redis.hincrby(redisKeys.campaign(body.id), 'spent', -3);
    expect((await verify()).differences).toMatchObject([{ id: body.id, field: 'spent_usd' }]);
    await accounting.redis.hincrby(redisKeys.campaign(body.id), 'spent', 3);
  });

  it('finds an absorbed amount that Redis does not count, and a start of accounting counts it again', async () => {
    const { body } = await accounting.admin('GET', '/admin/v1/campaigns/c');
    expect(body.absorbed_usd).toBe('0.0000004');
    const hashes = [redisKeys.campaign(body.id), redisKeys.key(key.id), redisKeys.operatorTotal];
    for (const hash of hashes) await accounting.redis.hdel(hash, 'absorbed');
    expect((await verify()).differences.map(({ field }: { field: string }) => field)).toEqual(
      hashes.map(() => 'absorbed_usd'),
    );
    await accounting.restart();
    await accounting.until(async () => (await verify()).ok);
    expect((await accounting.admin('GET', '/admin/v1/campaigns/c')).body.absorbed_usd).toBe('0.0000004');
  });

  it.each(['total', String(Math.floor(Date.now() / 86_400_000))])(
    "finds an operator's level (%s) that is not the ledger's",
    async (level) => {
      const hash = redisKeys.operatorPrefix + level;
      await accounting.redis.hincrby(hash, 'spent', 5);
      expect((await verify()).differences).toMatchObject([
        { id: expect.stringContaining('operator'), field: 'spent_usd' },
      ]);
      await accounting.redis.hincrby(hash, 'spent', -5);
      expect((await verify()).ok).toBe(true);
    },
  );

  it('finds a kept balance that is not the sum of its bookings', async () => {
    const change = (nano: number) =>
      accounting.source.query(`UPDATE ledger.balances SET spent_nano = spent_nano + $1 WHERE owner = $2`, [
        nano,
        `key:${key.id}`,
      ]);
    await change(3);
    expect((await verify()).problems).toContain(
      `key:${key.id}: its kept balance is not the sum of its bookings: 3 nano-dollars too much`,
    );
    await change(-3);
    expect((await verify()).ok).toBe(true);
  });

  it('is shared by those who ask at the same time', async () => {
    const verifier = accounting.app.get(LedgerVerifier);
    // The first is on its way already, and may not see what the others ask about.
    const [, one, other] = await Promise.all([verifier.verify(), verifier.verify(), verifier.verify()]);
    expect(one).toBe(other);
  });

  it('finds what somebody wrote into the ledger by hand', async () => {
    const plant = (id: string, kind: string, request: string, entries: [string, number][]) =>
      accounting.source.transaction(async (manager) => {
        await manager.query(
          `INSERT INTO ledger.transfers (id, period, kind, request_id, campaign_id, at, detail) VALUES ($1, '1970-01-01', $2, $3, 'cmp_x', now(), '{}')`,
          [id, kind, request],
        );
        for (const [account, amount] of entries)
          await manager.query(`INSERT INTO ledger.entries VALUES ($1, $2, $3, '1970-01-01')`, [id, account, amount]);
      });
    await plant('one-sided', 'fund', 'x', [['campaign:cmp_x', 5]]);
    await plant('second-end', 'void', 'posted', [
      ['inflight', -1_000],
      ['key:other', 1_000],
    ]);
    await plant('nothing-held:end', 'void', 'nothing-held', []);
    await accounting.source.query(
      `INSERT INTO ledger.transfers (id, period, kind, request_id, campaign_id, at, budget_day, detail)
       VALUES ('unsent:end', '1970-01-01', 'post', 'unsent', 'cmp_x', now(), now(), '{}')`,
    );
    await accounting.source.query(
      `INSERT INTO ledger.entries VALUES ('unsent:end', 'upstream:openai', 7, '1970-01-01'), ('stray', 'operator', 0, '1970-01-01')`,
    );
    const { ok, problems } = await verify();
    expect(ok).toBe(false);
    expect(problems).toContain('one-sided: its entries sum to 5 nano-dollars instead of 0');
    expect(problems).toContain('posted: the call has 2 endings');
    expect(problems).toContain('unsent:end: it pays for a call that was never sent upstream');
    expect(problems).toContain('stray: its entry belongs to no transfer');
    expect(problems).toContain('nothing-held:end: it ends or corrects a call that never held anything');
  });
});
