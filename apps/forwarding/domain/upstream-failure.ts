import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';

/** What the upstream did instead of answering, as its client saw it. */
export interface UpstreamFailure {
  /** HTTP status; undefined without a response. */
  status: number | undefined;
  /** `error.code`, `error.type` and `error.message` of OpenAI's error object, where there was one. */
  code: string | undefined;
  type: string | undefined;
  param: string | undefined;
  message: string;
  /** The message comes from the provider's error object, not from a proxy's page or a library. */
  spoken: boolean;
  retryAfterMs: number | undefined;
  shouldRetry: boolean | undefined;
  /** The socket never opened, so that the upstream cannot have done any work. */
  neverSent: boolean;
}

/**
 * What forwarding does after a failure:
 * - `defer`: the upstream did no work. The lane freezes it for so long, then the call goes out again.
 * - `retry`: the upstream did no work. Another attempt may succeed; where none is left, the visitor gets `error`.
 * - `account`: the upstream refuses the operator's account. Another account may serve the call.
 * - `refuse`: the upstream did no work, and forwarding voids the call.
 * - `pass_on`: the visitor gets the upstream's own refusal. `strike`: the provider refused the call for its safety.
 * - `unknown`: the upstream may have done the work, so that forwarding presumes the call.
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
/** The provider blocks this visitor's identifier. */
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
  // A gateway gave up waiting. The upstream behind it may have done the work.
  if (status === 504 || status === 524) return { kind: 'unknown', error: outcomeUnknown() };
  // A proxy's page may name hosts, so visitors see only the provider's own message.
  const message = failure.spoken ? clean(failure.message) : 'The upstream failed.';
  return {
    kind: failure.shouldRetry === false ? 'refuse' : 'retry',
    error: upstreamError(message, failure.shouldRetry ?? true),
  };
}

/** Reads an error object in the middle of a stream. `strike`: the provider stopped the stream for its safety. */
export function stoppedStream({ message, code }: Readonly<Record<string, unknown>>): {
  error: DaypassError;
  strike: boolean;
} {
  const shown = clean(typeof message === 'string' ? message : 'The upstream ended the stream with an error.');
  return { error: new DaypassError('upstream_error', shown, { retry: false }), strike: isSafetyRefusal(code) };
}

export function isSafetyRefusal(code: unknown): boolean {
  return typeof code === 'string' && (SAFETY_CODES.has(code) || IDENTIFIER_BLOCKED.test(code));
}

/** Takes the ids of the account out of a message: its organisation, projects, keys and users. */
function clean(message: string): string {
  return message
    .replace(/\b(?:org|proj|sk|user|key|req|asst|acct)[-_][A-Za-z0-9_*-]{4,}/g, '[removed]')
    .slice(0, 1_000)
    .toWellFormed();
}

export function accountTrouble(): DaypassError {
  return new DaypassError(
    'upstream_unavailable',
    'The service behind this key is not available right now. Its operator gets an alert.',
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

/**
 * `retry-after`, else the time in the message ("try again in 174ms"), else a second. Bounded, because a header may lie.
 */
function freezeOf({ retryAfterMs, message }: UpstreamFailure): number {
  const wait = /try again in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)/i.exec(message);
  const fromMessage = wait
    ? Number(wait[1] ?? 0) * 60_000 + Number(wait[2]) * (wait[3]!.toLowerCase() === 'ms' ? 1 : 1_000)
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
