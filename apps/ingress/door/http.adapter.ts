import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { CORS_HEADERS } from '../domain/answer-headers.js';
import { NOT_OFFERED_PATHS } from '../domain/not-offered.js';
import { newRequestId } from '../domain/request-id.js';
import { requestPath } from '../domain/request-path.js';
import { noWebSocket, unservedUrl } from '../refusals.js';
import { answerPreflight, shareWithPages } from './cors.js';
import { publicUrlOf } from './public.url.js';

/** What clients may ask for without `/v1`. */
export const SERVED = [
  ...ENDPOINTS.map(({ path }) => path.replace('/v1', '')),
  '/models',
  '/conversations',
  '/moderations',
];
const KNOWN = [...SERVED, ...NOT_OFFERED_PATHS];
const TIMEOUT_CHECK_MS = 1_000;
const MODEL_ID_MAX = 2_000;

/** Makes Fastify with bounds for bodies, headers and the time in which a request must arrive. */
export function createHttpAdapter(config: DaypassConfig): FastifyAdapter {
  const { limits } = config;
  const adapter = new FastifyAdapter({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    genReqId: newRequestId,
    rewriteUrl: ({ url = '' }) => requestPath(url, KNOWN).url,
    routerOptions: { maxParamLength: MODEL_ID_MAX },
    http: {
      requireHostHeader: false,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => refuseConnection(error, socket, config),
    frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) => {
      shareWithPages(reply);
      readAway(request.raw, limits.bodyBytes);
      const error = unserved(request);
      void reply
        .status(error.status)
        .headers({ 'x-request-id': request.id, ...error.headers() })
        .send(withHelp(error.body(), publicUrlOf(request.headers, config)));
    },
  });
  const fastify = adapter.getInstance();
  // Fastify also reads plain text, which no API takes, and it reads JSON less strictly.
  fastify.removeContentTypeParser(['text/plain', 'application/json']);
  fastify.addHook('onRequest', (request, reply, done) => {
    shareWithPages(reply);
    void reply.header('x-request-id', request.id);
    // A route of its own knows which pages may ask.
    if (request.method === 'OPTIONS' && request.is404) void answerPreflight(request, reply);
    else if (wantsWebSocket(request)) {
      // Whoever expects frames sends no further request here.
      void reply.header('connection', 'close');
      done(noWebSocket(request.method, request.url, request.originalUrl));
    }
    // Nobody parses the body of an unknown address.
    else if (request.is404) done(unserved(request));
    else done();
  });
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    if (!request.raw.complete) readAway(request.raw, limits.bodyBytes);
    done(null, payload);
  });
  return adapter;
}

const unserved = ({ method, url, originalUrl }: FastifyRequest): DaypassError => unservedUrl(method, url, originalUrl);

/**
 * Node hands an upgrade to the router like any other request, because nobody listens for `upgrade`. A proxy may have
 * taken the header away, but leaves those of the WebSocket. A client that would also take HTTP/2 (`Upgrade: h2c`) gets
 * HTTP/1.1.
 */
function wantsWebSocket({ method, headers }: FastifyRequest): boolean {
  if (method !== 'GET') return false;
  const protocols = (headers.upgrade ?? '').split(',').map((one) => one.trim().toLowerCase());
  return protocols.includes('websocket') || headers['sec-websocket-key'] !== undefined;
}

/**
 * Reads away what still comes of a request that gets its answer, so that its sender reads the answer. Node would do it
 * without a bound.
 */
function readAway(request: IncomingMessage, mostBytes: number): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > mostBytes) request.destroy();
  });
}

/** Answers errors below HTTP, where Fastify has no request to reply to. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, config: DaypassConfig): void {
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
  const body = JSON.stringify(withHelp(refusal.body(), publicUrlOf({}, config)));
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    'x-request-id': newRequestId(),
    ...CORS_HEADERS,
    ...refusal.headers(),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${refusal.status} ${reasons[refusal.status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}
