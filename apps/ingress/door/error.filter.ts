import { Catch, HttpException, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import type { Logger } from '#libs/service/logger.js';
import { RecentRefusals } from '#libs/holds/recent-refusals.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { clientRequestId } from '../domain/client-headers.js';
import { tooLarge, unservedUrl, unsupportedType, VisitorLeft } from '../refusals.js';
import { IngressMetrics } from '../ingress.metrics.js';
import { publicUrlOf } from './public.url.js';
import { RouteGuard } from './route-guard.js';
import { acceptsOf, routeEndpoint } from './route.endpoint.js';
import { knownVisitor } from './visitor.js';

/** The HTTP edge: the one place where errors become statuses, headers and OpenAI's error object. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly metrics: IngressMetrics,
    private readonly refusals: RecentRefusals,
    private readonly guard: RouteGuard,
  ) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    if (exception instanceof VisitorLeft || isBrokenOff(request)) {
      this.metrics.refused('visitor_left', endpointNameOf(request));
      this.logger.info({ requestId: request.id }, 'the visitor left');
      reply.raw.destroy();
      return;
    }
    const error = this.read(exception, request);
    this.metrics.refused(error.code, endpointNameOf(request));
    this.tellHolder(request, error);
    const called = clientRequestId(request.headers);
    this.logger.info({ requestId: request.id, ...called, code: error.code, status: error.status }, 'refused');
    if (reply.raw.headersSent) {
      reply.raw.destroy();
      return;
    }
    void this.guard.limitsOf(request).then((limits) =>
      reply
        .status(error.status)
        .headers({ 'x-request-id': request.id, ...limits, ...error.headers() })
        .send(withHelp(error.body(), publicUrlOf(request.headers, this.config))),
    );
  }

  /** What refused a call, its key's holder sees with the key. */
  private tellHolder(request: FastifyRequest, error: DaypassError): void {
    const { access = 'caller' } = request.routeOptions.config;
    const visitor = knownVisitor(request);
    if (visitor && access === 'caller') this.refusals.note(visitor.key.id, request.id, error.body().error);
  }

  private read(exception: unknown, request: FastifyRequest): DaypassError {
    if (exception instanceof DaypassError) return exception;
    const refusal = exception instanceof HttpException ? fromHttp(exception.getStatus(), request) : null;
    if (refusal) return refusal;
    this.logger.error({ err: exception, requestId: request.id }, 'unexpected error');
    return new DaypassError(
      'internal_error',
      'Something went wrong inside Daypass. The request id helps the operator to find out what.',
    );
  }
}

function endpointNameOf(request: FastifyRequest): string | null {
  return (request.method === 'POST' && routeEndpoint(request)?.name) || null;
}

/** The visitor hung up while the request came in. */
function isBrokenOff({ raw }: FastifyRequest): boolean {
  return raw.destroyed && !raw.complete;
}

/** Fastify refuses some requests before a controller sees them. Nest keeps only the status. */
function fromHttp(status: number, request: FastifyRequest): DaypassError | null {
  switch (status) {
    case 400:
      return new DaypassError('invalid_json', 'The request body is not valid JSON.');
    case 404:
      return unservedUrl(request.method, request.url, request.originalUrl);
    case 413:
      return tooLarge();
    case 415:
      return unsupportedType(acceptsOf(request));
    default:
      return null;
  }
}
