import type { FastifyReply, FastifyRequest } from 'fastify';
import { ANSWER_HEADERS } from '../domain/answer-headers.js';

/** A browser asks again after so many seconds; Chromium's longest. */
const PREFLIGHT_SECONDS = 7_200;

/** A page of any origin may read every answer, because the key is in a header of its own. There are no cookies. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': Object.keys(ANSWER_HEADERS).join(', '),
};

/** For every answer that Fastify writes. `writeHead` of answers/answer.head.ts has the same headers. */
export function shareWithPages(reply: FastifyReply): void {
  reply.headers(CORS_HEADERS);
}

/** For an answer that is for visitors' eyes: pages of other origins may link to it, and not read it. */
export function keepFromPages(reply: FastifyReply): void {
  for (const name of Object.keys(CORS_HEADERS)) reply.removeHeader(name);
}

/** Answers what a browser asks before it sends a page's request. It has no key yet. */
export function answerPreflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const asked = request.headers['access-control-request-headers'];
  return reply
    .status(204)
    .headers({
      'access-control-allow-methods': 'GET, POST, DELETE',
      ...(asked === undefined ? {} : { 'access-control-allow-headers': asked }),
      'access-control-max-age': PREFLIGHT_SECONDS,
    })
    .send();
}
