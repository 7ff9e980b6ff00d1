import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Redis } from 'ioredis';
import { countTextTokens } from '#libs/money/tokens.js';
import { bootstrap } from '#libs/service/bootstrap.js';
import { NestLogger } from '#libs/service/logger.js';
import { createRegistry, OpsServer } from '#libs/service/ops-server.js';
import { stopOnSignal } from '#libs/service/run-service.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { Door } from '#libs/holds/door.js';
import { ErrorFilter } from './door/error.filter.js';
import { createHttpAdapter } from './door/http.adapter.js';
import { IngressModule } from './ingress.module.js';
import { serveWebhooks } from './door/webhook.routes.js';

void bootstrap('ingress', async (config, logger) => {
  const registry = createRegistry('ingress');
  const app = await NestFactory.create<NestFastifyApplication>(
    IngressModule.register(config, logger, registry),
    createHttpAdapter(config),
    {
      logger: new NestLogger(logger),
      bodyParser: false,
    },
  );
  app.useGlobalFilters(app.get(ErrorFilter));
  serveWebhooks(app, config, app.get<Redis>(MONEY_REDIS), logger);
  // The tokenizer loads its tables at its first use, which no visitor should wait for.
  await countTextTokens(['warm']);
  const door = new Door(app.get<Redis>(MONEY_REDIS));
  const ops = new OpsServer({
    ...config.ops,
    registry,
    ready: async () => {
      if (!(await door.isOpen())) throw new Error('accounting has not opened the door yet: does it run?');
    },
  });
  stopOnSignal({ app, ops, logger, shutdownDeadlineMs: config.limits.shutdownDeadlineMs });
  await ops.listen();
  await app.listen(config.visitors.port, config.visitors.host);
});
