import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { originNotAllowed } from '../refusals.js';
import { foreignOriginOf } from '../domain/claim-origin.js';
import { refuseBetas } from '../domain/client-headers.js';
import { limitHeaders } from '../domain/limit-headers.js';
import { Authenticator, type Visitor } from './authenticator.service.js';
import { knownVisitor, setVisitor } from './visitor.js';

/**
 * What a route asks of its visitor. `keyless`: nothing. `holder`: the true secret of a key, also of one that has ended.
 * `reader`: a key that has not ended, which may be suspended. `caller`: a key that may call, as every other route asks.
 */
type RouteAccess = 'keyless' | 'holder' | 'reader' | 'caller';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess;
    /** All that this route does follows a hold, which checks the key again. So ingress may remember the key. */
    holds?: boolean;
    /** Its body is a few fields of JSON, read whole. */
    hasSmallBody?: boolean;
  }
}

/** The config of a route, as its matched path has it: no spelling of the path leads around it. */
export const routeAccess = (access: RouteAccess): { access: RouteAccess } => ({ access });

/** The config of a route for calls. */
export const HOLDS = { access: 'caller', holds: true } as const;

/** Looks up the key of every request before anybody reads its body. `visitorOf` then says whose it is. */
@Injectable()
export class RouteGuard {
  constructor(private readonly authenticator: Authenticator) {}

  stand(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, reply, done) => {
      const entered = this.enter(request, reply);
      if (entered === undefined) done();
      else void tellWhenOver(entered, done);
    });
  }

  /** undefined: the visitor is in, and nobody had to wait. */
  private enter(request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
    const { access = 'caller', holds = false } = request.routeOptions.config;
    if (access === 'keyless') return undefined;
    try {
      const visitor = holds ? this.authenticator.caller(request.headers) : this.authenticator.holder(request.headers);
      if (visitor instanceof Promise) return this.letIn(request, reply, access, visitor);
      setVisitor(request, visitor);
      // What only a remembered key is refused for may have changed.
      if (isRefusedOrigin(request, visitor)) return this.letIn(request, reply, access, this.readAgain(request));
      refuseBetas(request.headers, request.url);
      return undefined;
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  private async letIn(
    request: FastifyRequest,
    reply: FastifyReply,
    access: RouteAccess,
    found: Promise<Visitor>,
  ): Promise<void> {
    const visitor = await found;
    // Also for the refusals that follow: the key's holder sees them.
    setVisitor(request, visitor);
    // On refusals, too. The head of an answer has them with the call itself.
    if (access === 'caller') reply.headers(limitHeaders(visitor.use));
    this.refuse(request, access, visitor);
    refuseBetas(request.headers, request.url);
  }

  /** For a call whose key ingress remembered: reads the key, and decides again. @throws DaypassError as the first time */
  async enterAgain(request: FastifyRequest): Promise<Visitor> {
    const visitor = await this.readAgain(request);
    this.refuse(request, 'caller', visitor);
    return visitor;
  }

  /** The `x-ratelimit-*` headers of a refusal. They count from Redis, also where ingress remembered the key. */
  async limitsOf(request: FastifyRequest): Promise<Record<string, string>> {
    const visitor = knownVisitor(request);
    if (!visitor || (request.routeOptions.config.access ?? 'caller') !== 'caller') return {};
    const read = visitor.isRemembered ? await this.readAgain(request).catch(() => null) : visitor;
    return read ? limitHeaders(read.use) : {};
  }

  private async readAgain(request: FastifyRequest): Promise<Visitor> {
    const visitor = await this.authenticator.again(request.headers);
    setVisitor(request, visitor);
    return visitor;
  }

  private refuse(request: FastifyRequest, access: RouteAccess, visitor: Visitor): void {
    if (access !== 'holder') this.authenticator.refuseOutOfTime(visitor);
    if (isRefusedOrigin(request, visitor)) throw originNotAllowed(request.headers.origin!);
    if (access === 'caller') this.authenticator.refuseSuspended(visitor);
  }
}

/** Most calls have no promise to wait for, which is quicker. */
async function tellWhenOver(entered: Promise<void>, done: (error?: Error) => void): Promise<void> {
  try {
    await entered;
  } catch (error) {
    done(error as Error);
    return;
  }
  done();
}

/** Only browsers say where a request comes from. Daypass' own pages may use every key. */
function isRefusedOrigin({ headers }: FastifyRequest, { campaign: { origins } }: Visitor): boolean {
  if (origins === null) return false;
  const origin = foreignOriginOf(headers);
  return origin !== undefined && !origins.includes(origin);
}
