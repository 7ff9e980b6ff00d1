import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { AccountingFixture } from './accounting.fixture.js';
import { DueWork, type Due } from './due.work.js';
import { Outbox, type Waiting } from './outbox.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '10' });
});
afterAll(() => accounting.stop());

const fresh = (): Promise<Due> => new DueWork(accounting.source).now();

it('says what is to be done, and nothing where nothing is', async () => {
  await accounting.until(async () => {
    const { recordSeq, ...due } = await fresh();
    return recordSeq >= 0 && JSON.stringify(due) === '{"budgets":false,"accounts":0,"links":false,"safetyCases":false}';
  });
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
      await manager.query('UPDATE audit.head SET seq = seq + 7');
      const [head] = await manager.query<{ seq: string }[]>('SELECT seq FROM audit.head');
      const runner = { manager, release: () => Promise.resolve() };
      const seen = await new DueWork({ createQueryRunner: () => runner } as unknown as typeof accounting.source).now();
      expect(seen).toEqual({
        budgets: true,
        accounts: 1,
        links: false,
        safetyCases: true,
        recordSeq: Number(head!.seq),
      });
      throw rollBack;
    })
    .catch((error: unknown) => expect(error).toBe(rollBack));
});

it('asks Postgres once for all loops of a second', async () => {
  const { source } = accounting;
  const questions: string[] = [];
  const createQueryRunner = source.createQueryRunner.bind(source);
  source.createQueryRunner = (mode) => {
    const runner = createQueryRunner(mode);
    const connect = runner.connect.bind(runner);
    runner.connect = async () => {
      const connection = (await connect()) as { query: (...of: unknown[]) => Promise<unknown> };
      return Object.assign(Object.create(connection) as object, {
        query: (...of: [string | { text: string }, ...unknown[]]) => {
          questions.push(typeof of[0] === 'string' ? of[0] : of[0].text);
          return connection.query(...of);
        },
      });
    };
    return runner;
  };
  try {
    await sleep(4_000);
  } finally {
    source.createQueryRunner = createQueryRunner;
  }
  const looks = questions.filter((sql) => sql.includes('settle_at <='));
  expect(looks.length).toBeGreaterThan(1);
  expect(looks.length).toBeLessThanOrEqual(6);
  expect(questions.filter((sql) => sql.includes('projected_version <') && !sql.includes('settle_at'))).toEqual([]);
});

it('gives what goes out to one process, again after a pause, and to nobody after the last try', async () => {
  const { source } = accounting;
  const outbox = new Outbox(source, pino({ level: 'silent' }), {
    ...{ table: 'access.notices', columns: 'body', batch: 1, takenForSeconds: 600, attemptsMax: 2 },
    ...{ refused: 'nobody took it', reasonOf: String },
  });
  await source.query('DELETE FROM access.notices');
  await source.query(
    `INSERT INTO access.notices (id, at, body, next_at) VALUES ('one', now(), '{"of":1}', now() - interval '1 second'), ('two', now(), '{"of":2}', now() + interval '1 hour')`,
  );
  const waitsSeconds = async (): Promise<number> => {
    const [row] = await source.query<{ seconds: string }[]>(
      `SELECT extract(epoch FROM next_at - now()) AS seconds FROM access.notices WHERE body->>'of' = '1'`,
    );
    return Number(row!.seconds);
  };
  const [first, ...others] = await outbox.take();
  expect([first, others, await outbox.take()]).toMatchObject([{ attempts: 1, body: { of: 1 } }, [], []]);
  expect(await waitsSeconds()).toBeGreaterThan(500);
  const given: string[] = [];
  const deliver = (row: Waiting): Promise<void> =>
    outbox.deliver(
      row,
      () => Promise.reject(new Error('no')),
      async () => void given.push(row.id),
    );
  await deliver(first!);
  expect(await waitsSeconds()).toBeLessThanOrEqual(2);
  expect(given).toEqual([]);
  await source.query(`UPDATE access.notices SET next_at = now() - interval '1 second' WHERE body->>'of' = '1'`);
  const [second] = await outbox.take();
  expect(second).toMatchObject({ id: first!.id, attempts: 2 });
  await deliver(second!);
  expect(given).toEqual([first!.id]);
});
