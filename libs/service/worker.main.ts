import { NestFactory } from '@nestjs/core';
import type { DynamicModule } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig, Service } from '#libs/config/config.js';
import { bootstrap } from './bootstrap.js';
import { NestLogger, type Logger } from './logger.js';
import { createRegistry, OpsServer } from './ops-server.js';
import { stopOnSignal } from './run-service.js';
import { MONEY_REDIS } from './platform.tokens.js';

/** Starts a service that listens on its operations port only. */
export function runWorker(
  service: Service,
  register: (config: DaypassConfig, logger: Logger, registry: Registry) => DynamicModule,
): void {
  void bootstrap(service, async (config, logger) => {
    const registry = createRegistry(service);
    const app = await NestFactory.createApplicationContext(register(config, logger, registry), {
      logger: new NestLogger(logger),
    });
    const redis = app.get<Redis>(MONEY_REDIS);
    const ops = new OpsServer({
      ...config.ops,
      registry,
      ready: async () => {
        await redis.ping();
      },
    });
    stopOnSignal({ app, ops, logger, shutdownDeadlineMs: config.limits.shutdownDeadlineMs });
    await ops.listen();
  });
}
