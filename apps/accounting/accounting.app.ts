import { randomUUID } from 'node:crypto';
import cookies from '@fastify/cookie';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { NestLogger, type Logger } from '#libs/service/logger.js';
import { AccountingModule } from './accounting.module.js';
import { unknownUrl } from './admin/admin.filter.js';
import { KnownHosts } from './console/known.hosts.js';
import { serveConsole } from './console/shell.routes.js';
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
    // An address that Fastify's router does not take: too long a part, or a broken escape.
    frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) => {
      const error = unknownUrl(request);
      void reply
        .status(error.status)
        .headers({ 'x-request-id': request.id, ...error.headers() })
        .send(error.body());
    },
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
  endUnused(app);
  await app.register(cookies, { secret: config.secrets.sessionKey });
  serveDocs(app);
  serveConsole(app.getHttpAdapter().getInstance(), new KnownHosts(config));
  return app;
}

/**
 * Clients send `content-type: application/json` even without a body (revoke, rotate). No body counts as an empty one.
 */
function takeJson(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeContentTypeParser('text/plain');
  const parse = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') done(null, undefined);
    else void parse(request, text, done);
  });
}

/** Browsers connect before they need it. A connection that carried no request yet must not hold up the end. */
function endUnused(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  const unused = new Set<Socket>();
  fastify.server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  fastify.server.on('request', ({ socket }: { socket: Socket }) => unused.delete(socket));
  fastify.addHook('preClose', (done) => {
    for (const socket of unused) socket.destroy();
    done();
  });
}
