import 'reflect-metadata';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { bootstrap } from '#libs/service/bootstrap.js';
import { createRegistry, OpsServer } from '#libs/service/ops-server.js';
import { listenReady, stopOnSignal } from '#libs/service/run-service.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { createAccountingApp } from './accounting.app.js';
import { SignInLinks } from './console/sign-in.links.js';
import { readiness } from './accounting.readiness.js';

void bootstrap('accounting', async (config, logger) => {
  const registry = createRegistry('accounting');
  const app = await createAccountingApp(config, logger, registry);
  const ops = new OpsServer({
    ...config.ops,
    registry,
    ready: readiness(app.get(DataSource), app.get<Redis>(MONEY_REDIS)),
  });
  stopOnSignal({ app, ops, logger, shutdownDeadlineMs: config.limits.shutdownDeadlineMs });
  await listenReady(app, config.admin, ops);
  logger.info({ port: config.admin.port }, 'the admin API listens');
  if (config.console.printsSignInLink) {
    const { url } = await app.get(SignInLinks).make(`http://localhost:${config.admin.port}`);
    logger.info(`sign in to the console within five minutes: ${url}`);
  }
});
