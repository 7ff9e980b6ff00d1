import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import type { CheckEvent } from '#libs/contracts/audit.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { dataSourceOptions, openDataSource } from '../store/data-source.factory.js';
import { isRecordUpToDate } from './audit.stream.js';

const PASSWORD = `it's "quoted" \\ and long enough`;
const policy = { input: 'gate', output: 'gate', thresholds: { violence: 0.6 }, onUnavailable: 'closed' } as const;
const lax = { ...policy, input: 'off', output: 'off' } as const;

/** The statements of docs/audit.md by the number of their question. */
const QUESTIONS = new Map<number, string[]>();
for (const section of readFileSync(join(process.cwd(), 'docs', 'audit.md'), 'utf8')
  .split(/^### /m)
  .slice(1))
  QUESTIONS.set(
    Number.parseInt(section, 10),
    [...section.matchAll(/```sql\n([^]*?)```/g)].map(([, sql]) => sql!),
  );

let accounting: AccountingFixture;
let owner: DataSource;
let auditor: Client;
let key: { id: string };
let paid: string;
let refused: string;
let unjudged: string;

const logIn = async (password: string): Promise<Client> => {
  const url = new URL(accounting.config.databaseUrl);
  const client = new Client({
    host: url.hostname,
    port: Number(url.port),
    database: url.pathname.slice(1),
    user: 'auditor',
    password,
  });
  await client.connect();
  return client;
};
const ask = async (
  number: number,
  changed: (sql: string) => string = (sql) => sql,
): Promise<Record<string, unknown>[][]> => {
  const answers: Record<string, unknown>[][] = [];
  for (const sql of QUESTIONS.get(number)!)
    answers.push((await auditor.query<Record<string, unknown>>(changed(sql))).rows);
  return answers;
};

beforeAll(async () => {
  accounting = await AccountingFixture.start({ DAYPASS_AUDITOR_PASSWORD: PASSWORD });
  owner = await new DataSource(dataSourceOptions(accounting.config.databaseUrl, () => undefined)).initialize();
  const recorder = new EventRecorder(accounting.redis);
  const campaign = (
    await accounting.createCampaign('school', {
      moderation: { input: 'gate', output: 'gate', strikes: { suspend_after: 1 } },
    })
  ).id;
  key = await accounting.createKey('school', { label: 'pupil' });
  let number = 0;
  const id = (): string =>
    `req_${Date.now().toString(16).padStart(12, '0')}${(++number).toString(16).padStart(20, '0')}`;
  [paid, refused, unjudged] = [id(), id(), id()];
  const asked = (request: string, its: typeof policy | typeof lax) =>
    recorder.record({
      kind: 'request',
      id: request,
      key: key.id,
      campaign,
      model: 'gpt-5.4-mini',
      stream: false,
      policy: its,
    });
  const checked = (request: string, changes: Partial<CheckEvent> = {}) =>
    recorder.record({
      ...{
        kind: 'check',
        id: `chk_${++number}`,
        request,
        key: key.id,
        campaign,
        direction: 'input',
        guard: 'moderation',
        model: 'omni',
        decision: 'pass',
      },
      ...{ categories: [], scores: { violence: 0.1 }, reason: null, latency_ms: 12, policy, ...changes },
    });
  await asked(paid, policy);
  await checked(paid);
  await checked(paid, { direction: 'output' });
  await accounting.call(key, paid, 1_000_000n, 400_000n);
  await asked(unjudged, lax);
  await accounting.call(key, unjudged, 1_000_000n, 100_000n);
  await asked(refused, policy);
  await checked(refused, { decision: 'blocked', categories: ['violence'], scores: { violence: 0.9, hate: 0.1 } });
  await accounting.hold(key, refused, 1_000_000n);
  await accounting.holds.end({
    ...{
      requestId: refused,
      keyId: key.id,
      campaignId: campaign,
      lane: 'lane',
      replyTo: 'ingress',
      transition: 'void' as const,
      costNano: 0n,
    },
    ...{
      detail: { reason: 'moderation_blocked' },
      strike: { windowMs: 3_600_000, cooldownAfter: 0, cooldownMs: 60_000, suspendAfter: 1 },
    },
  });
  await Promise.all([accounting.until(() => isRecordUpToDate(accounting.redis)), accounting.drained()]);
  await accounting.until(
    async () => Number((await owner.query<{ n: string }[]>(`SELECT count(*) AS n FROM audit.checkpoints`))[0]!.n) > 0,
  );
  auditor = await logIn(PASSWORD);
});
afterAll(async () => {
  await auditor?.end();
  await owner?.destroy();
  await accounting?.stop();
});

describe('the auditor', () => {
  it('logs in with the password that was set, and with no other', async () => {
    await expect(logIn('another password')).rejects.toThrow('password authentication failed');
  });

  it('is let out again where no password is set any more', async () => {
    const options = dataSourceOptions(accounting.config.databaseUrl, () => undefined);
    await (await openDataSource(options)).destroy();
    await expect(logIn(PASSWORD)).rejects.toThrow('not permitted to log in');
    await (await openDataSource(options, PASSWORD)).destroy();
    await (await logIn(PASSWORD)).end();
  });

  it('reads every view that docs/audit.md names', async () => {
    const views = [
      ...new Set(readFileSync(join(process.cwd(), 'docs', 'audit.md'), 'utf8').match(/`(ledger|audit)\.\w+`/g)),
    ].map((name) => name.slice(1, -1));
    expect(views.length).toBeGreaterThanOrEqual(14);
    for (const view of views) await auditor.query(`SELECT * FROM ${view} LIMIT 1`);
  });

  it('reads no table, and changes nothing', async () => {
    const tables = await owner.query<{ name: string }[]>(
      `SELECT schemaname || '.' || quote_ident(tablename) AS name FROM pg_tables WHERE schemaname IN ('access', 'ledger', 'audit', 'public')`,
    );
    expect(tables.length).toBeGreaterThan(20);
    for (const { name } of tables)
      await expect(auditor.query(`SELECT * FROM ${name}`)).rejects.toThrow('permission denied');
    await auditor.query('SET default_transaction_read_only = off');
    for (const sql of [
      'CREATE TABLE public.mine ()',
      'CREATE TABLE audit.mine ()',
      'DELETE FROM audit.erasures',
      'SET ROLE daypass_service',
    ])
      await expect(auditor.query(sql)).rejects.toThrow('permission denied');
  });

  it('has ten questions', () => expect([...QUESTIONS.keys()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
});

/** The statements show as many decimals as Postgres' division gives. */
const usd = (amount: number): unknown =>
  expect.stringMatching(new RegExp(`^${String(amount).replace('.', '\\.')}(\\.?0*)$`));

describe('docs/audit.md answers', () => {
  it('1. who spent what', async () => {
    const [campaigns, keys] = await ask(1);
    expect(campaigns).toEqual([{ campaign: 'school', budget_usd: usd(10), spent_usd: usd(0.0005), calls: '3' }]);
    expect(keys).toEqual([expect.objectContaining({ key_id: key.id, label: 'pupil', spent_usd: usd(0.0005) })]);
  });

  it('2. what each day cost', async () => {
    expect((await ask(2))[0]).toEqual([
      expect.objectContaining({ campaign: 'school', spent_usd: usd(0.0005), refunded_usd: usd(0) }),
    ]);
  });

  it('3. whether the books balance', async () => {
    expect(Number((await ask(3))[0]![0]!.must_be_zero)).toBe(0);
  });

  it("4. whether the provider's bill agrees", async () => {
    expect((await ask(4))[0]).toEqual([]);
  });

  it('5. what was flagged, and why', async () => {
    expect((await ask(5))[0]).toEqual([
      expect.objectContaining({
        key_id: key.id,
        decision: 'blocked',
        categories: ['violence'],
        scores: { violence: 0.9 },
      }),
    ]);
  });

  it('6. what was done about it, by Daypass and by people', async () => {
    const struck = expect.objectContaining({
      cause: 'strike',
      measure: 'suspend',
      campaign: 'school',
      key_id: key.id,
      visitor_id: key.id,
      strikes: 1,
    });
    expect((await ask(6))[0]).toEqual([struck]);
    const set = (what: string, body: object) => accounting.admin('POST', `/admin/v1/keys/${key.id}/${what}`, body);
    await set('suspend', { note: 'looking into it' });
    await set('reinstate', {});
    // The second run finds nothing new.
    await set('reinstate', {});
    const person = (measure: string) =>
      expect.objectContaining({
        cause: 'person',
        measure,
        campaign: 'school',
        key_id: key.id,
        visitor_id: key.id,
        actor: null,
      });
    expect((await ask(6))[0]).toEqual([person('reinstated'), person('suspended: looking into it'), struck]);
    expect(await auditor.query('SELECT * FROM audit.erasures').then(({ rows }) => rows)).toEqual([]);
    expect((await accounting.admin('GET', '/admin/v1/audit/verify')).body.ok).toBe(true);
  });

  it('7. who is flagged most', async () => {
    expect((await ask(7))[0]).toEqual([
      expect.objectContaining({ visitor_id: key.id, requests: '3', blocked: '1', share_of_requests_flagged: '0.3333' }),
    ]);
  });

  it('8. what became of one call', async () => {
    const of = async (requestId: string) => (await ask(8, (sql) => sql.replace('req_…', requestId)))[0]![0]!;
    expect(await of(paid)).toMatchObject({
      ...{
        campaign: 'school',
        key_label: 'pupil',
        checks: '2',
        input: ['pass'],
        output: ['pass'],
        held_usd: '0.001000000',
        spent_usd: '0.000400000',
      },
      policy: { input: 'gate', output: 'gate' },
    });
    expect(await of(refused)).toMatchObject({ input: ['blocked'], output: null, spent_usd: '0.000000000' });
  });

  it('9. whether anything was shown that nobody judged', async () => {
    const [rows] = await ask(9);
    expect(rows).toContainEqual(
      expect.objectContaining({ input: 'off', output: 'off', calls: '1', unjudged: '1', unchecked: '0' }),
    );
    expect(rows).toContainEqual(
      expect.objectContaining({ input: 'gate', output: 'gate', calls: '2', unjudged: '0', unchecked: '0' }),
    );
  });

  it('10. whether anything was edited or taken out', async () => {
    const whole = { missing_rows: '0', broken_seals: '0' };
    expect((await ask(10))[0]).toEqual([whole]);
    // Past the triggers, as the owner of the database can.
    const runner = owner.createQueryRunner();
    try {
      await runner.query('SET session_replication_role = replica');
      await runner.query('CREATE TABLE public.kept AS SELECT * FROM audit.requests ORDER BY seq OFFSET 1 LIMIT 1');
      await runner.query('DELETE FROM audit.requests WHERE id = (SELECT id FROM public.kept)');
      expect((await ask(10))[0]).toEqual([expect.objectContaining({ missing_rows: '1' })]);
      await runner.query('INSERT INTO audit.requests SELECT * FROM public.kept');
      expect((await ask(10))[0]).toEqual([whole]);
      const last = 'seq = (SELECT max(seq) FROM audit.checkpoints)';
      for (const table of ['requests', 'checks', 'acts'])
        await runner.query(`UPDATE audit.${table} SET hash = sha256(hash) WHERE ${last}`);
      const [answer] = (await ask(10))[0]!;
      expect(Number(answer!.broken_seals)).toBeGreaterThan(0);
    } finally {
      await runner.query('SET session_replication_role = origin');
      await runner.release();
    }
  });
});

describe('a download', () => {
  // Answers are read as a client reads them: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  const lines = async (path: string): Promise<any[]> => {
    const { status, body } = await accounting.admin('GET', `/admin/v1/${path}`);
    expect([path, status]).toEqual([path, 200]);
    return (body as string).split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  };
  const soon = new Date(Date.now() + 3_600_000).toISOString();

  it('has the calls, the checks and the policies of a period', async () => {
    const before = `until=${soon}`;
    const calls = await lines(`requests/export?${before}`);
    expect(new Set(calls.map(({ id }) => id))).toEqual(new Set([paid, refused, unjudged]));
    expect(calls).toHaveLength(3);
    expect(await lines(`requests/export?decision=blocked`)).toEqual([
      expect.objectContaining({ id: refused, campaign: 'school', result: 'voided', paid_usd: '0.00' }),
    ]);
    expect(await lines(`checks/export?${before}`)).toHaveLength(3);
    const policies = await lines(`policies/export?${before}`);
    expect(new Set(policies.map(({ policy: its }) => its.input))).toEqual(new Set(['gate', 'off']));
    expect(policies).toHaveLength(2);
    for (const path of ['requests', 'checks', 'acts']) expect(await lines(`${path}/export?since=${soon}`)).toEqual([]);
    expect(await lines('policies/export?until=2020-01-01T00:00:00Z')).toEqual([]);
  });

  it('has the statement of a period, as the view has it of all time', async () => {
    const [views] = await ask(1);
    const [campaign] = await lines(`statement/export?until=${soon}`);
    expect(campaign).toMatchObject({ campaign: 'school', funded_usd: '10.00', spent_usd: '0.0005', calls: 3 });
    expect(Number(views![0]!.spent_usd)).toBe(Number(campaign.spent_usd));
    const [mine, ...others] = await lines('statement/export?by=key');
    expect(others).toEqual([]);
    expect(mine).toMatchObject({
      key_id: key.id,
      label: 'pupil',
      billed_usd: '0.0005',
      refunded_usd: '0.00',
      calls: 3,
    });
    for (const by of ['campaign', 'key']) expect(await lines(`statement/export?by=${by}&since=${soon}`)).toEqual([]);
    expect((await accounting.admin('GET', '/admin/v1/statement/export?by=day')).status).toBe(400);
  });

  it('as CSV names its columns, and what people wrote is no formula in it', async () => {
    const { id } = await accounting.createKey('school', { label: '=1+1', budget_usd: '0.10' });
    const { body, headers } = await accounting.admin('GET', '/admin/v1/statement/export?by=key&format=csv');
    expect(headers.get('content-disposition')).toBe('attachment; filename="statement-by-key.csv"');
    const [head, ...rows] = (body as string).trim().split('\n');
    expect(head).toMatch(/^campaign,key_id,label,prefix,status,granted_usd,/);
    expect(rows.find((row) => row.includes(id))).toMatch(/^school,key_\w+,'=1\+1,/);
  });
});
