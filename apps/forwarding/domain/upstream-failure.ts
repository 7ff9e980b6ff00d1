import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';

/** What the upstream did instead of answering, as far as its client could tell. */
export interface UpstreamFailure {
  /** HTTP status; undefined when there was no response. */
  status: number | undefined;
  /** `error.code`, `error.type` and `error.message` of OpenAI's error object, where there was one. */
  code: string | undefined;
  type: string | undefined;
  param: string | undefined;
  message: string;
  /** The message is the provider's own (an error object), rather than a page or a library's words. */
  spoken: boolean;
  retryAfterMs: number | undefined;
  shouldRetry: boolean | undefined;
  /** The socket never opened, so nothing can have been done. */
  neverSent: boolean;
}

/**
 * What to do about it. `defer`: not done, frozen for this long, then sent again. `retry`: not done, and worth another try; `error`
 * where that is one too many. `account`: the account's own trouble, which is the operator's; another account may do it. `refuse`:
 * not done, hold given back. `unknown`: it may have been done, so the bound is booked. `strike`: the provider refused it for its
 * safety, which is the visitor's.
 */
export type Reaction =
  | { kind: 'defer'; freezeMs: number }
  | { kind: 'retry' | 'account' | 'refuse'; error: DaypassError }
  | { kind: 'pass_on'; status: number; body: ErrorBody; strike: boolean }
  | { kind: 'unknown'; error: DaypassError };

const FREEZE_DEFAULT_MS = 1_000;
const FREEZE_MAX_MS = 120_000;
const ACCOUNT_CODES =
  /^(insufficient_quota|credit_balance_exhausted|billing_.*|.*_spend_limit_exceeded|account_deactivated)$/;
/** The provider's own refusals (OpenAI, "Safety checks"; Azure OpenAI, "Content filtering"). */
const SAFETY_CODES = new Set(['cyber_policy', 'bio_policy', 'invalid_prompt', 'content_filter']);
/** The provider takes no more from this very visitor. */
const IDENTIFIER_BLOCKED = /^(safety_)?identifier[ _]blocked$/i;
const REQUEST_STATUSES = new Set([400, 404, 409, 413, 415, 422]);

export function reactTo(failure: UpstreamFailure): Reaction {
  const { status, code, type } = failure;
  if (status === undefined) {
    if (failure.neverSent) return { kind: 'retry', error: unreachable() };
    return { kind: 'unknown', error: outcomeUnknown() };
  }
  const strike = status >= 400 && status < 500 && isSafetyRefusal(code);
  if (
    !strike &&
    (status === 401 || status === 403 || ACCOUNT_CODES.test(code ?? '') || ACCOUNT_CODES.test(type ?? ''))
  ) {
    return { kind: 'account', error: accountTrouble() };
  }
  if (status === 429 && !strike) return { kind: 'defer', freezeMs: freezeOf(failure) };
  if (strike || REQUEST_STATUSES.has(status)) {
    const message = failure.spoken ? clean(failure.message) : `The upstream refused the request with status ${status}.`;
    return {
      kind: 'pass_on',
      status,
      body: {
        error: { message, type: type ?? 'invalid_request_error', param: failure.param ?? null, code: code ?? null },
      },
      strike,
    };
  }
  // Somebody between gave up waiting: the upstream itself may have done the work.
  if (status === 504 || status === 524) return { kind: 'unknown', error: outcomeUnknown() };
  // A page of a proxy may name hosts; only the provider's own words are passed on.
  const message = failure.spoken ? clean(failure.message) : 'The upstream failed.';
  return {
    kind: failure.shouldRetry === false ? 'refuse' : 'retry',
    error: upstreamError(message, failure.shouldRetry ?? true),
  };
}

export function isSafetyRefusal(code: unknown): boolean {
  return typeof code === 'string' && (SAFETY_CODES.has(code) || IDENTIFIER_BLOCKED.test(code));
}

/** Takes out what names the account: organisation, project, key and user ids. */
export function clean(message: string): string {
  return message
    .replace(/\b(?:org|proj|sk|user|key|req|asst|acct)[-_][A-Za-z0-9_*-]{4,}/g, '[removed]')
    .slice(0, 1_000);
}

export function accountTrouble(): DaypassError {
  return new DaypassError(
    'upstream_unavailable',
    'The service behind this key is not available right now. Its operator has been told.',
  );
}

export function unreachable(): DaypassError {
  return upstreamError('The upstream could not be reached.', true);
}

function outcomeUnknown(): DaypassError {
  return new DaypassError(
    'upstream_outcome_unknown',
    'The connection to the upstream broke before its answer ended, so the outcome is unknown.',
  );
}

function upstreamError(message: string, retry: boolean): DaypassError {
  return new DaypassError('upstream_error', message || 'The upstream failed.', { retry });
}

/** `retry-after`, else what the message says ("try again in 174ms"), else a second; bounded, because a header may lie. */
function freezeOf({ retryAfterMs, message }: UpstreamFailure): number {
  const said = /try again in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)/i.exec(message);
  const fromMessage = said
    ? Number(said[1] ?? 0) * 60_000 + Number(said[2]) * (said[3]!.toLowerCase() === 'ms' ? 1 : 1_000)
    : undefined;
  const freezeMs = retryAfterMs ?? fromMessage ?? FREEZE_DEFAULT_MS;
  return Math.min(FREEZE_MAX_MS, Math.max(1, Math.ceil(freezeMs)));
}

const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 2_000;

/** Exponential with jitter: `random` 0 to 1. */
export function backoffMs(attempt: number, random: number): number {
  return Math.ceil(Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(attempt - 1, 10)) * (0.5 + random));
}
