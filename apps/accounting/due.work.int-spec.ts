import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { AccountingFixture } from './accounting.fixture.js';
import { DueWork } from './due.work.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '10' });
});
afterAll(() => accounting.stop());

const fresh = (): Promise<unknown> => new DueWork(accounting.source).now();

it('says what is to be done, and nothing where nothing is', async () => {
  await accounting.until(
    async () => JSON.stringify(await fresh()) === '{"budgets":false,"accounts":0,"links":false,"safetyCases":false}',
  );
  await accounting.createKey('c', { budget_usd: '1' });
  const rollBack = new Error('nobody else sees it');
  await accounting.source
    .transaction(async (manager) => {
      await manager.query(
        `UPDATE access.keys SET settle_at = now() + interval '50 seconds', projected_version = version - 1`,
      );
      await manager.query(
        `INSERT INTO access.safety_cases (id, type, at, next_at) VALUES ('case', 'type', now(), now() - interval '1 second')`,
      );
      const seen = await new DueWork(manager as unknown as typeof accounting.source).now();
      expect(seen).toEqual({ budgets: true, accounts: 1, links: false, safetyCases: true });
      throw rollBack;
    })
    .catch((error: unknown) => expect(error).toBe(rollBack));
});

it('asks Postgres once for all loops of a second', async () => {
  const questions: string[] = [];
  const query = accounting.source.query.bind(accounting.source);
  accounting.source.query = ((sql: string, values?: unknown[]) => {
    questions.push(sql);
    return query(sql, values);
  }) as typeof query;
  try {
    await sleep(4_000);
  } finally {
    accounting.source.query = query;
  }
  const looks = questions.filter((sql) => sql.includes('settle_at <='));
  expect(looks.length).toBeGreaterThan(1);
  expect(looks.length).toBeLessThanOrEqual(6);
  expect(questions.filter((sql) => sql.includes('projected_version') && !sql.includes('settle_at'))).toEqual([]);
});
