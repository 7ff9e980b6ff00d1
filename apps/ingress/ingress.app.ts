import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { NestLogger, type Logger } from '#libs/service/logger.js';
import { LinkViews } from './claims/link.views.js';
import { serveDocs } from './docs/docs.routes.js';
import { BodyReader, FORM_TYPE } from './door/body.reader.js';
import { ErrorFilter } from './door/error.filter.js';
import { createHttpAdapter } from './door/http.adapter.js';
import { RouteGuard } from './door/route-guard.js';
import { readSmallJson } from './door/small.body.js';
import { servePages } from './pages/pages.routes.js';
import { IngressModule } from './ingress.module.js';

/** Ingress with all that stands before its routes, ready to listen. */
export async function createIngress(
  config: DaypassConfig,
  logger: Logger,
  registry: Registry,
): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(
    IngressModule.register(config, logger, registry),
    createHttpAdapter(config),
    { logger: new NestLogger(logger), bodyParser: false },
  );
  app.useGlobalFilters(app.get(ErrorFilter));
  const fastify: FastifyInstance = app.getHttpAdapter().getInstance();
  app.get(RouteGuard).stand(fastify);
  serveDocs(fastify);
  servePages(fastify, { links: app.get(LinkViews), config });
  const reader = app.get(BodyReader);
  fastify.addContentTypeParser('application/json', (request: FastifyRequest, payload: IncomingMessage) =>
    isSmall(request) ? readSmallJson(payload) : reader.read(request, payload),
  );
  fastify.addContentTypeParser(FORM_TYPE, (request: FastifyRequest, payload: IncomingMessage) =>
    reader.readForm(request, payload),
  );
  return app;
}

function isSmall({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.access === 'keyless' || config.hasSmallBody === true;
}
