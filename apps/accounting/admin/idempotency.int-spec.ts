import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '100' });
});
afterAll(() => accounting.stop());

const under = (name: string) => ({ 'idempotency-key': name });
const fund = (amount: unknown, headers: Record<string, string> = {}, slug = 'c') =>
  accounting.admin('POST', `/admin/v1/campaigns/${slug}/fund`, { amount_usd: amount }, headers);
const budget = async (slug = 'c') => (await accounting.admin('GET', `/admin/v1/campaigns/${slug}`)).body.budget_usd as string;

describe('an admin write with an Idempotency-Key', () => {
  it('happens once, however often it is sent, and is answered alike', async () => {
    const [before, name] = [Number(await budget()), randomUUID()];
    const answers = [];
    for (let time = 0; time < 3; time++) answers.push(await fund('5.00', under(name)));
    expect(Number(await budget())).toBe(before + 5);
    for (const answer of answers.slice(1)) {
      expect([answer.status, answer.body]).toEqual([answers[0]!.status, answers[0]!.body]);
      expect(answer.headers.get('idempotent-replayed')).toBe('true');
    }
    expect(answers[0]!.headers.get('idempotent-replayed')).toBeNull();
  });

  it('happens once where equal requests come at the same instant', async () => {
    const [before, name] = [Number(await budget()), randomUUID()];
    const answers = await Promise.all(Array.from({ length: 20 }, () => fund('3.00', under(name))));
    expect(Number(await budget())).toBe(before + 3);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([answers.find(({ status }) => status < 300)!.status, 409]));
    const running = answers.find(({ status }) => status === 409)!;
    expect(running.body.error.code).toBe('idempotency_in_progress');
    expect(running.headers.get('retry-after')).toBe('1');
  });

  it('shows a virtual key again under its name, and keeps it sealed', async () => {
    const name = randomUUID();
    const first = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'c', label: 'once' }, under(name));
    const again = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'c', label: 'once' }, under(name));
    expect(again.body).toEqual(first.body);
    const [row] = await accounting.source.query<{ answer: Buffer }[]>('SELECT answer FROM access.idempotent_writes WHERE key = $1', [name]);
    expect(row!.answer.includes(first.body.key)).toBe(false);
  });

  it('is refused where the name came with something else', async () => {
    const name = randomUUID();
    await fund('1.00', under(name));
    const before = await budget();
    for (const other of [await fund('2.00', under(name)), await accounting.admin('PATCH', '/admin/v1/campaigns/c', { name: 'x' }, under(name))]) {
      expect([other.status, other.body.error.code]).toEqual([409, 'idempotency_conflict']);
    }
    expect(await budget()).toBe(before);
  });

  it('frees its name where it failed', async () => {
    const name = randomUUID();
    expect((await fund('-1', under(name))).status).toBe(400);
    const before = Number(await budget());
    expect((await fund('1.00', under(name))).status).toBeLessThan(300);
    expect(Number(await budget())).toBe(before + 1);
  });

  it.each(['', 'x'.repeat(256)])('is refused under a name that is none (%#)', async (name) => {
    const answer = await fund('1.00', under(name));
    expect([answer.status, answer.body.error.param]).toEqual([400, 'idempotency-key']);
  });
});

describe('funding', () => {
  it.each(['-1', '0', '0.0000000001', '1e3', '1234567890123456789', 'a lot', '1,5', '', 5, null])('is refused with %p, and changes nothing', async (amount) => {
    const before = await budget();
    const { status, body } = await fund(amount);
    expect([status, body.error.param]).toEqual([400, 'amount_usd']);
    expect(body.error.message).toMatch(/amount_usd/);
    expect(await budget()).toBe(before);
  });

  it('of a closed campaign is refused, and changes nothing', async () => {
    await accounting.createCampaign('closed', { budget_usd: '10' });
    await accounting.admin('PATCH', '/admin/v1/campaigns/closed', { status: 'closed' });
    const { status, body } = await fund('5', {}, 'closed');
    expect([status, body.error.code]).toEqual([409, 'conflict']);
    expect(await budget('closed')).toBe('10.00');
  });
});

describe('a key that is over', () => {
  const show = async (id: string) => (await accounting.admin('GET', `/admin/v1/keys/${id}`)).body;

  it('gives back what it did not spend once its calls have ended, also what a later correction finds', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.call(key, 'spent', 300_000_000n, 100_000_000n);
    await accounting.hold(key, 'running', 200_000_000n);
    await accounting.dispatch('running');
    await accounting.admin('POST', `/admin/v1/keys/${key.id}/revoke`);
    expect(await show(key.id)).toMatchObject({ budget_usd: '1.00', held_usd: '0.20' });
    await accounting.end(key, 'running', 'presume');
    await accounting.until(async () => (await show(key.id)).returned_usd === '0.70', 20_000);
    expect(await show(key.id)).toMatchObject({ budget_usd: '0.30', spent_usd: '0.30', available_usd: '0.00' });
    const { body } = await accounting.admin('GET', `/admin/v1/keys/${key.id}/transfers`);
    expect(body.data[0]).toMatchObject({ kind: 'return', amount_usd: '-0.70' });
    await accounting.drained();
    expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body).toMatchObject({ ok: true, problems: [], differences: [] });
  }, 40_000);

  it('expires into its campaign, and has its money again when it is extended', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1', ttl_seconds: 1 });
    await accounting.until(async () => (await show(key.id)).returned_usd === '1.00', 20_000);
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}/transfers`)).body.data[0]).toMatchObject({ kind: 'expire', amount_usd: '-1.00' });
    const { status } = await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '2' });
    expect(status).toBe(409);
    await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { ttl_seconds: 600 });
    expect(await show(key.id)).toMatchObject({ budget_usd: '1.00', returned_usd: '0.00', status: 'active' });
    expect((await accounting.hold(key, 'again', 900_000_000n)).code).toBe('ok');
    await accounting.end(key, 'again', 'void');
  }, 40_000);
});
