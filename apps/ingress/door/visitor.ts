import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Visitor } from './authenticator.service.js';

const visitors = new WeakMap<FastifyRequest, Visitor>();

export function setVisitor(request: FastifyRequest, visitor: Visitor): void {
  visitors.set(request, visitor);
}

/** Whose key the request has. @throws on a route that needs no key */
export function visitorOf(request: FastifyRequest): Visitor {
  const visitor = visitors.get(request);
  if (!visitor) throw new Error('nobody looked up the key of this request: its route needs none');
  return visitor;
}

/** The same; undefined: nobody has found out. */
export const knownVisitor = (request: FastifyRequest): Visitor | undefined => visitors.get(request);

/** `visitorOf` for a controller's parameter. */
export const OfVisitor = createParamDecorator((_: unknown, context: ExecutionContext) =>
  visitorOf(context.switchToHttp().getRequest<FastifyRequest>()),
);
