import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Json } from '#libs/endpoints/json.js';
import type { ReadBounds, ShelfOwner } from '#libs/shelf/shelf.types.js';

/** A request to the shelf, which is counted among its key's requests. */
export interface Visit {
  owner: ShelfOwner;
  /** The key's campaign, or the key, keeps nothing. */
  isOff: boolean;
  /** Where the visitor reaches Daypass. */
  origin: string;
  bounds: ReadBounds;
  body: Json;
  bodyBytes: number;
}

/** What a controller answers. `shown` makes it, in a turn of the event loop that is as long as `bytes` need; absent: few. */
export interface VisitAnswer {
  shown: () => Json;
  bytes?: number;
}

/** Runs synchronous work on the body of a visit. */
export function stepOn<T>({ bounds, bodyBytes }: Visit, work: () => T | Promise<T>): Promise<T> {
  return bounds.step(bodyBytes, work);
}

const visits = new WeakMap<FastifyRequest, Visit>();

export function setVisit(request: FastifyRequest, visit: Visit): void {
  visits.set(request, visit);
}

/** The visit that `VisitInterceptor` counted, for a controller's parameter. */
export const OfVisit = createParamDecorator((_: unknown, context: ExecutionContext) =>
  visits.get(context.switchToHttp().getRequest<FastifyRequest>()),
);
