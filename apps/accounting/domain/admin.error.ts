import type { ErrorBody } from '#libs/contracts/errors.js';

/** The admin API's errors beside the visitors' catalogue. They have the same shape, so that one client reads both. */
const ADMIN_ERRORS = {
  invalid_request: { status: 400, type: 'invalid_request_error', retry: false },
  unauthorized: { status: 401, type: 'authentication_error', retry: false },
  foreign_page: { status: 403, type: 'permission_error', retry: false },
  not_found: { status: 404, type: 'invalid_request_error', retry: false },
  conflict: { status: 409, type: 'invalid_request_error', retry: false },
  idempotency_conflict: { status: 409, type: 'invalid_request_error', retry: false },
  idempotency_in_progress: { status: 409, type: 'invalid_request_error', retry: true },
  request_too_large: { status: 413, type: 'invalid_request_error', retry: false },
  unsupported_content_type: { status: 415, type: 'invalid_request_error', retry: false },
  unknown_host: { status: 421, type: 'permission_error', retry: false },
  too_many_attempts: { status: 429, type: 'rate_limit_error', retry: false },
  internal_error: { status: 500, type: 'server_error', retry: false },
  not_projected: { status: 503, type: 'server_error', retry: false },
  too_many_streams: { status: 503, type: 'server_error', retry: true },
  too_busy: { status: 503, type: 'server_error', retry: true },
  store_unavailable: { status: 503, type: 'server_error', retry: true },
} as const;

export class AdminError extends Error {
  constructor(
    readonly code: keyof typeof ADMIN_ERRORS,
    message: string,
    private readonly options: {
      param?: string | undefined;
      details?: Record<string, unknown>;
      retryAfterSeconds?: number;
    } = {},
  ) {
    super(message);
    this.name = 'AdminError';
  }

  get status(): number {
    return ADMIN_ERRORS[this.code].status;
  }

  headers(): Record<string, string> {
    const { retryAfterSeconds } = this.options;
    return {
      'x-should-retry': String(ADMIN_ERRORS[this.code].retry),
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    };
  }

  body(): ErrorBody {
    const { param, details } = this.options;
    return {
      error: {
        message: this.message,
        type: ADMIN_ERRORS[this.code].type,
        param: param ?? null,
        code: this.code,
        ...(details ? { daypass: details } : {}),
      },
    };
  }
}
