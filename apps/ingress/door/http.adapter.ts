import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { readJson } from '#libs/endpoints/json.js';
import { invalidKey } from '#libs/contracts/key-refusals.js';
import { readToken } from './authenticator.service.js';
import { newRequestId } from '../domain/request-id.js';
import { missingKey, unknownUrl, unsupportedEncoding } from '../refusals.js';

const TIMEOUT_CHECK_MS = 1_000;
const MODEL_ID_MAX = 2_000;

/** Makes Fastify with bounds for bodies, headers and the time in which a request must arrive. */
export function createHttpAdapter({ limits }: DaypassConfig): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    genReqId: newRequestId,
    routerOptions: { maxParamLength: MODEL_ID_MAX },
    http: {
      requireHostHeader: false,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => refuseConnection(error, socket),
    frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) => {
      const error = unknownUrl(request.method, request.url);
      void reply
        .status(error.status)
        .headers({ 'x-request-id': request.id, ...error.headers() })
        .send(error.body());
    },
  });
  const fastify = adapter.getInstance();
  // Fastify also reads plain text, which no API takes, and it reads JSON less strictly.
  fastify.removeContentTypeParser(['text/plain', 'application/json']);
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, readJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  // Refuse a request without a well-formed key before reading its body.
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    const encoding = request.headers['content-encoding'];
    if (request.url.startsWith('/v1/') && readToken(request.headers.authorization) === null)
      done(request.headers.authorization === undefined ? missingKey() : invalidKey());
    else if (encoding !== undefined && encoding !== 'identity') done(unsupportedEncoding());
    else done();
  });
  return adapter;
}

/** Answers errors below HTTP, where Fastify has no request to reply to. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new DaypassError('headers_too_large', 'The request headers are too large.')
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new DaypassError('request_timeout', 'The request took too long to arrive.')
        : new DaypassError('invalid_request', 'This is not a valid HTTP request.');
  const reasons: Record<number, string> = {
    400: 'Bad Request',
    408: 'Request Timeout',
    431: 'Request Header Fields Too Large',
  };
  const body = JSON.stringify(refusal.body());
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    'x-request-id': newRequestId(),
    ...refusal.headers(),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${refusal.status} ${reasons[refusal.status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}
