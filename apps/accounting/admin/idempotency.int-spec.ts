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
const fund = (amount: string, headers: Record<string, string>) =>
  accounting.admin('POST', '/admin/v1/campaigns/c/fund', { amount_usd: amount }, headers);
const budget = async () => (await accounting.admin('GET', '/admin/v1/campaigns/c')).body.budget_usd as string;

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
    expect(new Set(answers.map(({ status }) => status))).toEqual(
      new Set([answers.find(({ status }) => status < 300)!.status, 409]),
    );
    const running = answers.find(({ status }) => status === 409)!;
    expect(running.body.error.code).toBe('idempotency_in_progress');
    expect(running.headers.get('retry-after')).toBe('1');
  });

  it('shows a virtual key again under its name, and keeps it sealed', async () => {
    const name = randomUUID();
    const first = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'c', label: 'once' }, under(name));
    const again = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'c', label: 'once' }, under(name));
    expect(again.body).toEqual(first.body);
    const [row] = await accounting.source.query<{ answer: Buffer }[]>(
      'SELECT answer FROM access.idempotent_writes WHERE key = $1',
      [name],
    );
    expect(row!.answer.includes(first.body.key)).toBe(false);
  });

  it('is refused where the name came with something else', async () => {
    const name = randomUUID();
    await fund('1.00', under(name));
    const before = await budget();
    for (const other of [
      await fund('2.00', under(name)),
      await accounting.admin('PATCH', '/admin/v1/campaigns/c', { name: 'x' }, under(name)),
    ]) {
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
