import { Injectable, SetMetadata, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { idempotencyKeyFault } from '#libs/contracts/idempotency-key.js';
import { AccountWriter } from '../accounts/account.writer.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AdminError } from '../domain/admin.error.js';
import { IdempotencyStore, type FirstAnswer } from './idempotency.store.js';

const PARAM = { param: 'idempotency-key' };
const RETRY_AFTER_SECONDS = 1;
const UNKEPT = 'daypass:unkept';

/**
 * A handler whose answer is a cookie, a secret, or what a visitor wrote, which an erasure must reach: it runs each time,
 * and no `Idempotency-Key` keeps its answer.
 */
export const Unkept = (): MethodDecorator => SetMetadata(UNKEPT, true);

/**
 * Requests with one `Idempotency-Key` write once and get the same answer for 24 hours. The whole request runs in one
 * transaction, which stores the answer beside the effect. An error stores neither.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    private readonly work: UnitOfWork,
    private readonly store: IdempotencyStore,
    private readonly writer: AccountWriter,
    private readonly reflector: Reflector,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const key = request.headers['idempotency-key'];
    const isKept = !this.reflector.get<true | undefined>(UNKEPT, context.getHandler());
    if (key === undefined || request.method === 'GET' || request.method === 'HEAD' || !isKept) return next.handle();
    return from(
      this.once(String(key), request, context.switchToHttp().getResponse<FastifyReply>(), () =>
        lastValueFrom(next.handle()),
      ),
    );
  }

  private async once(
    key: string,
    request: FastifyRequest,
    reply: FastifyReply,
    handle: () => Promise<unknown>,
  ): Promise<unknown> {
    const fault = idempotencyKeyFault(key);
    if (fault !== null) throw new AdminError('invalid_request', fault, PARAM);
    const fingerprint = this.store.fingerprint(request.method, request.url, request.body);
    const { first, answer } = await this.work.run(async (unit) => {
      if (!(await this.store.claim(unit.manager, key))) throw inProgress();
      const former = await this.store.find(unit.manager, key);
      if (former) return { first: former, answer: undefined };
      const made = await handle();
      await this.store.keep(unit, key, fingerprint, made);
      return { first: null, answer: made };
    });
    return first ? this.replay(first, fingerprint, reply) : answer;
  }

  private async replay(first: FirstAnswer, fingerprint: string, reply: FastifyReply): Promise<unknown> {
    if (first.fingerprint !== fingerprint) {
      throw new AdminError(
        'idempotency_conflict',
        'This Idempotency-Key came with another method, path or body within the last 24 hours. Use a new key for a new request. Nothing was changed.',
        PARAM,
      );
    }
    await this.writer.assertInForce(first.written);
    void reply.header('idempotent-replayed', 'true');
    return first.open();
  }
}

function inProgress(): AdminError {
  return new AdminError(
    'idempotency_in_progress',
    'The first request with this Idempotency-Key is still running. Ask again for its answer in a moment.',
    {
      ...PARAM,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    },
  );
}
