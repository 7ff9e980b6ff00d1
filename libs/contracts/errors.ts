/**
 * The catalogue of all errors that a visitor can get. `retry` becomes `x-should-retry`, which both official SDKs obey
 * before anything else.
 */
export const ERRORS = {
  invalid_request: { status: 400, type: 'invalid_request_error', retry: false },
  hand_over_invalid: { status: 400, type: 'invalid_request_error', retry: false },
  invalid_json: { status: 400, type: 'invalid_request_error', retry: false },
  moderation_blocked: { status: 400, type: 'invalid_request_error', retry: false },
  pow_invalid: { status: 400, type: 'invalid_request_error', retry: false },
  previous_response_not_found: { status: 400, type: 'invalid_request_error', retry: false },
  unknown_parameter: { status: 400, type: 'invalid_request_error', retry: false },
  unpriceable_request: { status: 400, type: 'invalid_request_error', retry: false },
  invalid_api_key: { status: 401, type: 'invalid_request_error', retry: false },
  claim_refused: { status: 403, type: 'permission_error', retry: false },
  code_invalid: { status: 403, type: 'permission_error', retry: false },
  identity_required: { status: 403, type: 'permission_error', retry: false },
  key_suspended: { status: 403, type: 'permission_error', retry: false },
  link_not_started: { status: 403, type: 'permission_error', retry: false },
  link_paused: { status: 403, type: 'permission_error', retry: false },
  origin_not_allowed: { status: 403, type: 'permission_error', retry: false },
  redirect_not_allowed: { status: 403, type: 'permission_error', retry: false },
  endpoint_not_offered: { status: 404, type: 'invalid_request_error', retry: false },
  link_unknown: { status: 404, type: 'invalid_request_error', retry: false },
  model_not_found: { status: 404, type: 'invalid_request_error', retry: false },
  not_found: { status: 404, type: 'invalid_request_error', retry: false },
  unknown_url: { status: 404, type: 'invalid_request_error', retry: false },
  request_timeout: { status: 408, type: 'invalid_request_error', retry: false },
  already_claimed: { status: 409, type: 'invalid_request_error', retry: false },
  claims_exhausted: { status: 409, type: 'invalid_request_error', retry: false },
  idempotency_conflict: { status: 409, type: 'invalid_request_error', retry: false },
  idempotency_in_progress: { status: 409, type: 'invalid_request_error', retry: true },
  link_ended: { status: 410, type: 'invalid_request_error', retry: false },
  request_too_large: { status: 413, type: 'invalid_request_error', retry: false },
  unsupported_content_type: { status: 415, type: 'invalid_request_error', retry: false },
  websocket_not_supported: { status: 426, type: 'invalid_request_error', retry: false },
  claim_rate_limited: { status: 429, type: 'rate_limit_error', retry: true },
  insufficient_quota: { status: 429, type: 'insufficient_quota', retry: false },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error', retry: true },
  queue_full: { status: 429, type: 'rate_limit_error', retry: true },
  headers_too_large: { status: 431, type: 'invalid_request_error', retry: false },
  internal_error: { status: 500, type: 'server_error', retry: false },
  upstream_error: { status: 502, type: 'upstream_error', retry: true },
  upstream_outcome_unknown: { status: 502, type: 'upstream_error', retry: false },
  moderation_unavailable: { status: 503, type: 'server_error', retry: true },
  upstream_unavailable: { status: 503, type: 'server_error', retry: false },
  paused: { status: 503, type: 'server_error', retry: true },
  recovering: { status: 503, type: 'server_error', retry: true },
  overloaded: { status: 503, type: 'server_error', retry: true },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorBody {
  error: {
    message: string;
    type: string;
    param: string | null;
    code: string | null;
    /**
     * What Daypass adds to OpenAI's own four fields, e.g. the budget level or the flagged categories. On its way out it
     * gets `help`, the address of what explains it (`withHelp`).
     */
    daypass?: Record<string, unknown>;
    /** OpenAI's own, of images that moderation refuses. */
    moderation_details?: ModerationDetails;
  };
}

export interface ModerationDetails {
  categories: readonly string[];
  moderation_stage: 'input' | 'output';
}

/** How an API words an error that the catalogue words for all of them. */
export interface OwnForm {
  type: string;
  moderation_details?: ModerationDetails;
}

export interface DaypassErrorOptions {
  param?: string | undefined;
  details?: Record<string, unknown> | undefined;
  /** Milliseconds until a retry can succeed, for `retry-after` and `retry-after-ms`. */
  retryAfterMs?: number | undefined;
  /** Overrides the catalogue where a retry can never succeed, or where the upstream decides about it. */
  retry?: boolean | undefined;
  form?: OwnForm | undefined;
}

/** An error out of the catalogue, on its way to the HTTP edge. */
export class DaypassError extends Error {
  readonly param: string | undefined;
  readonly details: Record<string, unknown> | undefined;
  readonly retryAfterMs: number | undefined;
  readonly retry: boolean;
  private readonly form: OwnForm | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: DaypassErrorOptions = {},
  ) {
    super(message);
    this.name = 'DaypassError';
    this.param = options.param;
    this.details = options.details;
    this.retryAfterMs = options.retryAfterMs;
    this.form = options.form;
    // Both official SDKs ignore a wait above 60 s, and would retry far too early.
    this.retry = (options.retry ?? ERRORS[code].retry) && (options.retryAfterMs ?? 0) <= 60_000;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  body(): ErrorBody {
    return {
      error: {
        // It may quote text of a visitor or an upstream, cut anywhere.
        message: this.message.toWellFormed(),
        type: ERRORS[this.code].type,
        param: this.param?.toWellFormed() ?? null,
        code: this.code,
        ...this.form,
        ...(this.details ? { daypass: this.details } : {}),
      },
    };
  }

  /** `x-should-retry`, and with a known wait `retry-after` (whole seconds, rounded up) and `retry-after-ms`. */
  headers(): Record<string, string> {
    return {
      'x-should-retry': String(this.retry),
      ...(this.retryAfterMs === undefined
        ? {}
        : {
            'retry-after': String(Math.max(1, Math.ceil(this.retryAfterMs / 1000))),
            'retry-after-ms': String(Math.max(1, Math.ceil(this.retryAfterMs))),
          }),
    };
  }
}
