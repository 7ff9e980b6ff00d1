import 'reflect-metadata';
import type { Redis } from 'ioredis';
import { loadEncoding } from '#libs/money/tokens.js';
import { bootstrap } from '#libs/service/bootstrap.js';
import { createRegistry, OpsServer } from '#libs/service/ops-server.js';
import { listenReady, stopOnSignal } from '#libs/service/run-service.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { Door } from '#libs/holds/door.js';
import { createIngress } from './ingress.app.js';
import { serveWebhooks } from './door/webhook.routes.js';

void bootstrap('ingress', async (config, logger) => {
  // Tokenizers block the event loop while they load their tables: here nobody waits for it, and no connection.
  await Promise.all(['o200k_base' as const, 'cl100k_base' as const].map(loadEncoding));
  const registry = createRegistry('ingress');
  const app = await createIngress(config, logger, registry);
  await serveWebhooks(app, config, app.get<Redis>(MONEY_REDIS), logger);
  const door = new Door(app.get<Redis>(MONEY_REDIS));
  const ops = new OpsServer({
    ...config.ops,
    registry,
    ready: async () => {
      if (!(await door.isOpen())) throw new Error('accounting has not opened the door yet: does it run?');
    },
  });
  const { shutdownDeadlineMs, lingerMs } = config.limits;
  stopOnSignal({ app, ops, logger, shutdownDeadlineMs, lingerMs });
  await listenReady(app, config.visitors, ops);
});
