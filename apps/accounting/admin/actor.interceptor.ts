import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Observable } from 'rxjs';
import { runAs } from '../actor.js';

/** Runs each request in the name of whoever sent it, so that its acts on record say who. */
@Injectable()
export class ActorInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { daypassActor = null } = context.switchToHttp().getRequest<FastifyRequest>();
    return new Observable((subscriber) => runAs(daypassActor, () => next.handle().subscribe(subscriber)));
  }
}
