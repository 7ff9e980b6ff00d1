import { randomUUID } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { NestLogger, type Logger } from '#libs/service/logger.js';
import { AccountingModule } from './accounting.module.js';
import { serveDocs } from './admin/docs.routes.js';

/** Builds the whole service; it does not listen yet. */
export async function createAccountingApp(
  config: DaypassConfig,
  logger: Logger,
  registry: Registry,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    bodyLimit: config.limits.bodyBytes,
    requestTimeout: config.limits.requestTimeoutMs,
    forceCloseConnections: 'idle',
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 200 },
    http: { maxHeaderSize: config.limits.headerBytes },
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    AccountingModule.register(config, logger, registry),
    adapter,
    {
      logger: new NestLogger(logger),
      bodyParser: false,
    },
  );
  takeJson(app);
  serveDocs(app);
  return app;
}

/**
 * Clients send `content-type: application/json` even without a body (revoke, rotate). No body counts as an empty one.
 */
function takeJson(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  const parse = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') done(null, undefined);
    else void parse(request, text, done);
  });
}
