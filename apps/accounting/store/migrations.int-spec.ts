import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource, type DataSourceOptions, type QueryRunner } from 'typeorm';
import { startTestPostgres } from '#libs/testing/stores.js';
import { dataSourceOptions, openDataSource } from './data-source.factory.js';

describe('migrations', () => {
  let postgres: Awaited<ReturnType<typeof startTestPostgres>>;
  let sources: DataSource[] = [];
  /** The login that migrates and owns the tables. */
  let owner: DataSource;

  beforeAll(async () => {
    postgres = await startTestPostgres();
    const options = dataSourceOptions(postgres.databaseUrl, () => undefined);
    sources = await Promise.all([openDataSource(options), openDataSource(options), openDataSource(options)]);
    owner = await new DataSource(options).initialize();
  });

  afterAll(async () => {
    await Promise.all([owner, ...sources].map((source) => source.destroy()));
    await postgres.stop();
  });

  it('run once though three processes start at the same time', async () => {
    const rows = await owner.query<{ name: string }[]>('SELECT name FROM daypass_migrations ORDER BY id');
    expect(rows.map(({ name }) => name)).toEqual([
      'Access1763856000000',
      'Ledger1763856000001',
      'MonthPartitions1763942400000',
      'Statements1763942400001',
      'AdminWrites1763942400010',
      'Reconciliation1763942400020',
      'Strikes1763942400030',
      'Audit1763942400040',
      'Safety1763942400050',
      'Weights1763942400060',
      'Upstreams1763942400070',
      'Auditor1763942400080',
      'Measures1763942400090',
      'Endpoints1763942400100',
      'Origins1763942400110',
      'KeyTimes1763942400120',
      'LastCalls1763942400121',
      'CallLists1763942400122',
      'Ends1763942400130',
      'Claims1763942400140',
      'Console1763942400145',
      'Visitors1763942400150',
      'Identity1763942400160',
      'RedirectUris1763942400165',
    ]);
  });

  it('make exactly the tables that the entities describe', async () => {
    const { upQueries } = await owner.driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  const partitions = async (): Promise<string[]> => {
    const rows = await owner.query<{ name: string }[]>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'`,
    );
    return rows.map(({ name }) => name).filter((name) => /^(transfers|entries|attempts)_/.test(name));
  };
  const COLUMN: Record<string, string> = {
    transfers: 'detail',
    entries: 'amount_nano',
    attempts: 'at',
    rejected_events: 'reason',
    reports: 'requests',
    costs: 'amount_nano',
    judgements: 'evidence',
  };
  const changes = (table: string): string[] => {
    const column = COLUMN[table.replace(/_(\d{4}_\d{2}|default)$/, '')]!;
    return [
      `UPDATE ledger.${table} SET ${column} = ${column}`,
      `DELETE FROM ledger.${table}`,
      `TRUNCATE ledger.${table} CASCADE`,
    ];
  };

  it('give the service no right to change or delete a row of the ledger, in any month', async () => {
    const source = sources[0]!;
    expect(await source.query('SELECT current_user AS role')).toEqual([{ role: 'daypass_service' }]);
    const tables = [...Object.keys(COLUMN), ...(await partitions())];
    expect(tables.length).toBeGreaterThan(15);
    for (const sql of tables.flatMap(changes)) await expect(source.query(sql)).rejects.toThrow('permission denied');
    await expect(source.query('CREATE TABLE ledger.mine (x int)')).rejects.toThrow('permission denied');
    await source.query(
      'SELECT * FROM ledger.trial_balance, ledger.statement_by_key, ledger.statement_by_campaign, ledger.daily_spend, ledger.daily_drift',
    );
  });

  it('let not even the owner of the tables change or delete a row', async () => {
    const book = `INSERT INTO ledger.transfers (id, period, kind, campaign_id, at, detail) VALUES ($1, $2, 'fund', 'c', now(), '{}')`;
    for (const [id, period] of [
      ['a', '1970-01-01'],
      ['b', new Date().toISOString().slice(0, 10)],
    ]) {
      await owner.query(book, [id, period]);
      await owner.query(`INSERT INTO ledger.entries VALUES ($1, 'operator', 0, $2)`, [id, period]);
      await owner.query(`INSERT INTO ledger.attempts VALUES ($1, 1, 'dispatch', $2, now())`, [id, period]);
    }
    await owner.query(`INSERT INTO ledger.rejected_events VALUES ('1-0', '{}', 'x')`);
    await owner.query(`INSERT INTO ledger.reports VALUES (now(), 'm', 'default', now(), 1, 1, 1, 1, 1)`);
    await owner.query(`INSERT INTO ledger.costs VALUES (now(), 'm', '', now(), 1)`);
    await owner.query(`INSERT INTO ledger.judgements VALUES ('r', 1, 1, '{}')`);
    const month = new Date().toISOString().slice(0, 7).replace('-', '_');
    const tables = [
      ...Object.keys(COLUMN),
      ...['transfers', 'entries', 'attempts'].flatMap((table) => [`${table}_default`, `${table}_${month}`]),
    ];
    for (const sql of tables.flatMap(changes)) await expect(owner.query(sql)).rejects.toThrow('append-only');
  });

  it('make the months ahead, again and again', async () => {
    expect(await sources[0]!.query('SELECT ledger.ensure_partitions() AS made')).toEqual([{ made: 0 }]);
    expect((await partitions()).filter((name) => name.startsWith('transfers_'))).toHaveLength(6);
  });

  const AUDIT = { requests: 'model', checks: 'decision', acts: 'note', policies: 'policy', checkpoints: 'signature' };
  const auditChanges = (): string[] => [
    ...Object.entries(AUDIT).flatMap(([table, column]) => [
      `UPDATE audit.${table} SET ${column} = ${column}`,
      `DELETE FROM audit.${table}`,
    ]),
    `UPDATE audit.contents SET sealed = sealed`,
    ...[...Object.keys(AUDIT), 'contents', 'contents_default', 'checks_default'].map(
      (table) => `TRUNCATE audit.${table}`,
    ),
  ];

  it('give the service no right to change or delete a row of the record; contents may go', async () => {
    for (const sql of auditChanges()) await expect(sources[0]!.query(sql)).rejects.toThrow('permission denied');
    await sources[0]!.query('DELETE FROM audit.contents');
    await sources[0]!.query('SELECT * FROM audit.flagged, audit.by_visitor, audit.moderation_latency');
    expect(await sources[0]!.query('SELECT audit.ensure_partitions() AS made')).toEqual([{ made: 0 }]);
  });

  it('let not even the owner of the tables change or delete a row of the record', async () => {
    for (const period of ['1970-01-01', new Date().toISOString().slice(0, 10)]) {
      await owner.query(`INSERT INTO audit.requests VALUES ('r', $1, 1, 'x', now(), 'v', 'k', 'c', 'm', false, 'p')`, [
        period,
      ]);
      await owner.query(
        `INSERT INTO audit.checks VALUES ('c', $1, 2, 'x', now(), 'r', 'v', 'k', 'c', 'input', 'g', 'm', 'pass', '{}', '{}', '{}', 'p', 1)`,
        [period],
      );
      await owner.query(`INSERT INTO audit.contents VALUES ('r', $1, 'c', now(), 'x')`, [period]);
    }
    await owner.query(`INSERT INTO audit.acts VALUES ('a', 3, 'x', now(), 'erasure', 'v')`);
    await owner.query(`INSERT INTO audit.policies VALUES ('p', '{}')`);
    await owner.query(`INSERT INTO audit.checkpoints VALUES (3, 'x', now(), 'x')`);
    for (const sql of auditChanges()) await expect(owner.query(sql)).rejects.toThrow('append-only');
  });

  it('take the time that a large table needs, which no statement of the service gets', async () => {
    await owner.query('CREATE DATABASE large');
    const url = new URL(postgres.databaseUrl);
    url.pathname = '/large';
    const options = dataSourceOptions(url.href, () => undefined);
    class LargeTable2000000000000 {
      name = 'LargeTable2000000000000';
      up = (runner: QueryRunner): Promise<unknown> => runner.query('SELECT pg_sleep(0.5)');
      down = (): Promise<void> => Promise.resolve();
    }
    const source = await openDataSource({
      ...options,
      migrations: [...(options.migrations as []), LargeTable2000000000000],
      extra: { ...(options.extra as object), statement_timeout: 300 },
    } as DataSourceOptions);
    try {
      await expect(source.query('SELECT pg_sleep(0.5)')).rejects.toThrow('statement timeout');
    } finally {
      await source.destroy();
    }
  });

  it('leave the requests of the version before as they are, and show their API to the auditor', async () => {
    await owner.query('CREATE DATABASE before_endpoints');
    const url = new URL(postgres.databaseUrl);
    url.pathname = '/before_endpoints';
    const options = dataSourceOptions(url.href, () => undefined);
    const migrations = (options.migrations as { name: string }[]).filter(
      ({ name }) => !/^(Endpoints|KeyTimes|LastCalls|CallLists)/.test(name),
    );
    await (await openDataSource({ ...options, migrations } as DataSourceOptions)).destroy();
    const admin = await new DataSource(options).initialize();
    try {
      for (const period of ['1970-01-01', new Date().toISOString().slice(0, 10)])
        await admin.query(
          `INSERT INTO audit.requests VALUES ('r', $1, 1, 'x', now(), 'v', 'k', 'c', 'm', false, 'p')`,
          [period],
        );
      // Postgres gives a row that it writes again another place and transaction.
      const places = () => admin.query('SELECT tableoid, ctid, xmin FROM audit.requests ORDER BY period');
      const before: unknown = await places();
      await (await openDataSource(options)).destroy();
      expect(await places()).toEqual(before);
      expect(await admin.query('SELECT endpoint FROM audit.requests')).toEqual(Array(2).fill({ endpoint: null }));
      await admin.query('SET ROLE auditor');
      const shown = Array(2).fill({ endpoint: 'chat.completions' });
      expect(await admin.query('SELECT endpoint FROM audit.calls')).toEqual(shown);
    } finally {
      await admin.destroy();
    }
  });
});
