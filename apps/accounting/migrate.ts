import 'reflect-metadata';
import { bootstrap } from '#libs/service/bootstrap.js';
import { dataSourceOptions, openDataSource } from './store/data-source.factory.js';

/** Migrates the database and ends: for a job before a rollout. The service migrates too when it starts. */
void bootstrap('accounting', async (config, logger) => {
  const source = await openDataSource(
    dataSourceOptions(config.databaseUrl, (error) => logger.warn({ err: error }, 'Postgres connection')),
    config.auditorPassword,
  );
  await source.destroy();
  logger.info('Postgres has the tables of this version');
});
