import type { FastifyReply, FastifyRequest } from 'fastify';
import { CORS_HEADERS } from '../domain/answer-headers.js';

/** A browser asks again after so many seconds; Chromium's longest. */
const PREFLIGHT_SECONDS = 7_200;

/** For every answer that Fastify writes. `writeHead` of answers/answer.head.ts has the same headers. */
export function shareWithPages(reply: FastifyReply): void {
  reply.headers(CORS_HEADERS);
}

/** For an answer that is for visitors' eyes: pages of other origins may link to it, and not read it. */
export function keepFromPages(reply: FastifyReply): void {
  for (const name of Object.keys(CORS_HEADERS)) reply.removeHeader(name);
}

/** For an answer that the page of this origin may read, and no other page. undefined: no page of another site asked. */
export function shareWithPage(reply: FastifyReply, origin: string | undefined): void {
  keepFromPages(reply);
  void reply.header('vary', 'origin');
  if (origin !== undefined) void reply.headers({ ...CORS_HEADERS, 'access-control-allow-origin': origin });
}

/** Answers what a browser asks before it sends a page's request. It has no key yet. */
export function answerPreflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.status(204).headers(preflightHeaders(request)).send();
}

/** `maxAgeSeconds`: a browser asks again after so long. */
export function preflightHeaders(
  { headers }: FastifyRequest,
  maxAgeSeconds = PREFLIGHT_SECONDS,
): Record<string, string> {
  const asked = headers['access-control-request-headers'];
  return {
    'access-control-allow-methods': 'GET, POST, DELETE',
    ...(asked === undefined ? {} : { 'access-control-allow-headers': asked }),
    'access-control-max-age': String(maxAgeSeconds),
  };
}
