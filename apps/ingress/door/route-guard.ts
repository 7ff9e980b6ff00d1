import type { FastifyInstance } from 'fastify';
import { originNotAllowed } from '../refusals.js';
import { refuseBetas } from '../domain/client-headers.js';
import { limitHeaders } from '../domain/limit-headers.js';
import type { Authenticator } from './authenticator.service.js';
import { setVisitor } from './visitor.js';

/**
 * What a route asks of its visitor. `keyless`: nothing. `holder`: the true secret of a key, also of one that has ended.
 * `reader`: a key that has not ended, which may be suspended. `caller`: a key that may call, as every other route asks.
 */
type RouteAccess = 'keyless' | 'holder' | 'reader' | 'caller';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess;
  }
}

/** The config of a route, as its matched path has it: no spelling of the path leads around it. */
export const routeAccess = (access: RouteAccess): { access: RouteAccess } => ({ access });

/** Looks up the key of every request before anybody reads its body. `visitorOf` then says whose it is. */
export function guardRoutes(fastify: FastifyInstance, authenticator: Authenticator): void {
  fastify.addHook('onRequest', async (request, reply) => {
    const { access = 'caller' } = request.routeOptions.config;
    if (access === 'keyless') return;
    const visitor = await authenticator.holder(request.headers);
    // Also for the refusals that follow: the key's holder sees them.
    setVisitor(request, visitor);
    // On refusals, too. The head of an answer has them with the call itself.
    if (access === 'caller') reply.headers(limitHeaders(visitor.use));
    if (access !== 'holder') authenticator.refuseOutOfTime(visitor);
    const { origin } = request.headers;
    const { origins } = visitor.campaign;
    // Only browsers say where a request comes from.
    if (origin !== undefined && origins !== null && !origins.includes(origin)) throw originNotAllowed(origin);
    if (access === 'caller') authenticator.refuseSuspended(visitor);
    refuseBetas(request.headers, request.url);
  });
}
