import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { startTestPostgres } from '#libs/testing/stores.js';
import { dataSourceOptions, openDataSource } from './data-source.factory.js';

describe('migrations', () => {
  let postgres: Awaited<ReturnType<typeof startTestPostgres>>;
  let sources: DataSource[] = [];

  beforeAll(async () => {
    postgres = await startTestPostgres();
    const options = dataSourceOptions(postgres.databaseUrl, () => undefined);
    sources = await Promise.all([openDataSource(options), openDataSource(options), openDataSource(options)]);
  });

  afterAll(async () => {
    await Promise.all(sources.map((source) => source.destroy()));
    await postgres.stop();
  });

  it('run once though three processes start at the same time', async () => {
    const rows = await sources[0]!.query<{ name: string }[]>('SELECT name FROM daypass_migrations ORDER BY id');
    expect(rows.map(({ name }) => name)).toEqual(['Access1763856000000', 'Ledger1763856000001']);
  });

  it('make exactly the tables that the entities describe', async () => {
    const { upQueries } = await sources[0]!.driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it.each(['transfers', 'entries', 'rejected_events'])('let nobody change or delete a row of ledger.%s', async (table) => {
    const source = sources[0]!;
    const column = { transfers: 'detail', entries: 'amount_nano', rejected_events: 'reason' }[table]!;
    await expect(source.query(`UPDATE ledger.${table} SET ${column} = ${column}`)).rejects.toThrow('append-only');
    await expect(source.query(`DELETE FROM ledger.${table}`)).rejects.toThrow('append-only');
    await expect(source.query(`TRUNCATE ledger.${table} CASCADE`)).rejects.toThrow('append-only');
  });
});
