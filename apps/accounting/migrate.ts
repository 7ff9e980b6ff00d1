import 'reflect-metadata';
import { bootstrap } from '#libs/service/bootstrap.js';
import { dataSourceOptions, openDataSource } from './store/data-source.factory.js';

/** Brings the database to this version and ends: for a job before a rollout. The service does the same when it starts. */
void bootstrap('accounting', async (config, logger) => {
  const source = await openDataSource(
    dataSourceOptions(config.databaseUrl, (error) => logger.warn({ err: error }, 'Postgres connection')),
    config.auditorPassword,
  );
  await source.destroy();
  logger.info('the database is at this version');
});
