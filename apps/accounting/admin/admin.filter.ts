import { Catch, HttpException, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { AdminError } from '../domain/admin.error.js';
import { storeAway, storeFault } from '../store/store-fault.js';

/** The only class that turns errors into answers of the admin API. */
@Catch()
export class AdminFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const error = this.read(exception, request);
    const reply = http.getResponse<FastifyReply>();
    void reply
      .status(error.status)
      .headers({ 'x-request-id': request.id, ...error.headers() })
      .send(error.body());
  }

  private read(exception: unknown, request: FastifyRequest): AdminError {
    if (exception instanceof AdminError) return exception;
    if (exception instanceof HttpException) return fromHttp(exception, request);
    const storeError = fromStores(exception);
    if (storeError) {
      if (storeError.status >= 500)
        this.logger.warn({ err: exception, requestId: request.id }, 'a store does not answer');
      return storeError;
    }
    this.logger.error({ err: exception, requestId: request.id }, 'unexpected error');
    return new AdminError(
      'internal_error',
      'Something went wrong inside Daypass. The log of the accounting service has it under this request id.',
    );
  }
}

export function unknownUrl({ method, url }: FastifyRequest): AdminError {
  return new AdminError(
    'not_found',
    `Unknown URL: ${method} ${url.slice(0, 200)}. What there is stands in /admin/docs.`,
  );
}

/** Fastify refuses some requests before a controller sees them. Nest passes the status on, without Fastify's code. */
function fromHttp(exception: HttpException, request: FastifyRequest): AdminError {
  switch (exception.getStatus()) {
    case 404:
      return unknownUrl(request);
    case 413:
      return new AdminError('request_too_large', 'The request body is too large.');
    case 415:
      return new AdminError('unsupported_content_type', "Send JSON with the header 'content-type: application/json'.");
    default:
      return new AdminError('invalid_request', 'The request body is not valid JSON.');
  }
}

function fromStores(exception: unknown): AdminError | null {
  switch (storeFault(exception)) {
    case 'value':
      return new AdminError(
        'invalid_request',
        'A value cannot be stored: it has a character or a number that Postgres does not take.',
      );
    case 'away':
      return new AdminError(
        'store_unavailable',
        `${storeAway(exception)} does not answer at the moment. Try again shortly.`,
      );
    case null:
      return null;
  }
}
