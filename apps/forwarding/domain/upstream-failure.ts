import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';
import { nobodys, withoutIds, type IsTheirs } from './account-ids.js';

/** What the upstream did instead of answering, as its client saw it. */
export interface UpstreamFailure {
  /** HTTP status; undefined without a response. */
  status: number | undefined;
  /** `error.code`, `error.type`, `error.param` and `error.message` of OpenAI's error object, where there was one. */
  code: string | undefined;
  type: string | undefined;
  param: string | undefined;
  message: string;
  /** The message comes from the provider's error object, not from a proxy's page or a library. */
  spoken: boolean;
  /** What Azure OpenAI's filters caught in the input; empty: nothing. */
  filtered: readonly string[];
  retryAfterMs: number | undefined;
  /** Its headers `x-ratelimit-remaining-*` say that nothing is left. */
  usedUp: boolean;
  /** It says that the request is above its whole limit: no wait makes room for it. */
  tooLarge: boolean;
  shouldRetry: boolean | undefined;
  /** The socket never opened, so that the upstream cannot have done any work. */
  neverSent: boolean;
}

/**
 * What forwarding does after a failure:
 * - `defer`: the lane is at its limit. The lane freezes the upstream for so long, then the call goes out again.
 * - `pause`: the upstream takes this call not now, for a reason of its own. Only this call waits.
 * - `too_large`: the call is above the upstream's whole limit. Another upstream may take it.
 * - `retry`: the upstream did no work. Another attempt may succeed; where none is left, the visitor gets `error`.
 *   `unreachable`: no request of a visitor can be the cause.
 * - `account`: the upstream refuses the operator's account. Another account may serve the call. `opens`: it refuses
 *   every call, so that its circuit opens.
 * - `refuse`: the upstream did no work, and forwarding voids the call.
 * - `pass_on`: the visitor gets the upstream's own refusal. `strike`: the provider refused the call for its safety.
 * - `unknown`: the upstream may have done the work, so that forwarding presumes the call.
 */
export type Reaction =
  | { kind: 'defer'; freezeMs: number }
  | { kind: 'pause' | 'too_large' | 'refuse'; error: DaypassError }
  | { kind: 'retry'; error: DaypassError; unreachable: boolean }
  | { kind: 'account'; error: DaypassError; opens: boolean }
  | { kind: 'pass_on'; status: number; body: ErrorBody; strike: boolean }
  | { kind: 'unknown'; error: DaypassError };

const FREEZE_DEFAULT_MS = 1_000;
const FREEZE_MAX_MS = 120_000;
const ACCOUNT_CODES =
  /^(insufficient_quota|credit_balance_exhausted|billing_.*|.*_spend_limit_exceeded|account_deactivated|unsupported_country_region_territory|ip_not_authorized)$/;
/**
 * Azure OpenAI names a deployment that the operator did not make, or made of another model, and a version that it does not
 * have; and a network, or a key, that the operator must open.
 */
const OPERATORS_DEPLOYMENT = /^(DeploymentNotFound|OperationNotSupported|InvalidApiVersionParameter)$/i;
const OPERATORS_KEY = /^AuthenticationTypeDisabled$/i;
const OPERATORS_NETWORK = /virtual network|firewall rules|private endpoint|public (network )?access is disabled/i;
/** How servers refuse a path: OpenAI, FastAPI (vLLM), Ollama, llama.cpp, Express, Azure OpenAI. None names a model. */
const UNKNOWN_PATH =
  /^(\d{3} )?(invalid url\b|not found\.?$|(page|file|resource|path|route|endpoint|url) not found\b|cannot (get|post) \/|unknown (request )?(url|path|route|endpoint)\b)/i;
/** The provider's own refusals (OpenAI, "Safety checks" and "Image generation"; Azure OpenAI, "Content filtering"). */
const SAFETY_CODES = new Set(['cyber_policy', 'bio_policy', 'invalid_prompt', 'content_filter', 'moderation_blocked']);
/** The provider blocks this visitor's identifier. */
const IDENTIFIER_BLOCKED = /^(safety_)?identifier[ _]blocked$/i;
/** 4xx that are not about the request: a proxy wants a login, something timed out, or it came too early. */
const NOT_ITS_OWN = new Set([407, 408, 421, 425]);
/** Codes and types of a limit that all calls share (OpenAI, "Rate limits" and "Error codes"). */
const RATE_LIMIT = /^(rate_limit.*|tokens|requests|slow_down|.*overloaded.*|too_many_requests|throttl.*)$/i;
const WORDS_MAX = 200;
const MESSAGE_MAX = 1_000;

/** `isTheirs`: whether a text stands in the visitor's own request, so that showing it tells nothing new. */
export function reactTo(failure: UpstreamFailure, isTheirs: IsTheirs = nobodys): Reaction {
  const { status, code, type } = failure;
  if (status === undefined) {
    if (failure.neverSent) return { kind: 'retry', error: unreachable(), unreachable: true };
    return { kind: 'unknown', error: outcomeUnknown() };
  }
  const isRefusal = status >= 400 && status < 500;
  const strike = isRefusal && (isSafetyRefusal(code) || failure.filtered.length > 0);
  if (strike) return passOn(failure, status, isTheirs, strike);
  if (status === 401 || status === 402 || ACCOUNT_CODES.test(code ?? '') || ACCOUNT_CODES.test(type ?? ''))
    return { kind: 'account', error: accountTrouble(), opens: true };
  // Only calls of this model fail, or the words alone say so: other calls must not suffer.
  if (isOperators(failure)) return { kind: 'account', error: accountTrouble(), opens: false };
  if (status === 429) return reactToLimit(failure, isTheirs);
  if (isRefusal && !NOT_ITS_OWN.has(status)) return passOn(failure, status, isTheirs, strike);
  // A gateway gave up waiting. The upstream behind it may have done the work.
  if (status === 504 || status === 524) return { kind: 'unknown', error: outcomeUnknown() };
  // A proxy's page may name hosts, so visitors see only the provider's own message.
  const message = failure.spoken ? cleaned(failure.message, isTheirs) : 'The upstream failed.';
  const error = upstreamError(message, failure.shouldRetry ?? true);
  return failure.shouldRetry === false ? { kind: 'refuse', error } : { kind: 'retry', error, unreachable: false };
}

/** A limit that all calls share freezes the lane. What is about this call alone must not. */
function reactToLimit(failure: UpstreamFailure, isTheirs: IsTheirs): Reaction {
  const { message, code, type, retryAfterMs, usedUp, tooLarge, spoken } = failure;
  const shown = spoken ? cleaned(message, isTheirs) : '';
  if (tooLarge) {
    const words = shown || 'The call is larger than the whole rate limit of the upstream: make it smaller.';
    return { kind: 'too_large', error: new DaypassError('rate_limit_exceeded', words, { retry: false }) };
  }
  if (usedUp || retryAfterMs !== undefined || RATE_LIMIT.test(code ?? '') || RATE_LIMIT.test(type ?? ''))
    return { kind: 'defer', freezeMs: freezeOf(failure) };
  const words = shown || 'The upstream takes no more such calls for now. Please try again later.';
  return {
    kind: 'pause',
    error: new DaypassError('rate_limit_exceeded', words, { retryAfterMs: FREEZE_DEFAULT_MS }),
  };
}

function isOperators({ status, code, message, spoken }: UpstreamFailure): boolean {
  if (status === 403) return OPERATORS_NETWORK.test(message) || OPERATORS_KEY.test(code ?? '');
  // No visitor chooses the upstream, and none can mend what it does not serve.
  if ((status === 404 || status === 400) && OPERATORS_DEPLOYMENT.test(code ?? '')) return true;
  return status === 404 && (!spoken || UNKNOWN_PATH.test(message));
}

function passOn(
  { spoken, message, type, param, code, filtered }: UpstreamFailure,
  status: number,
  isTheirs: IsTheirs,
  strike: boolean,
): Reaction {
  const word = (text: string | undefined): string | null =>
    text === undefined ? null : cleaned(text, isTheirs).slice(0, WORDS_MAX).toWellFormed();
  const error = {
    message: spoken ? cleaned(message, isTheirs) : `The upstream refused the request with status ${status}.`,
    type: word(type) ?? 'invalid_request_error',
    param: word(param),
    code: word(code),
    ...(filtered.length > 0 ? { daypass: { categories: filtered } } : {}),
  };
  return { kind: 'pass_on', status, body: { error }, strike };
}

/** Reads an error object in the middle of a stream. `strike`: the provider stopped the stream for its safety. */
export function stoppedStream(
  { message, code }: Readonly<Record<string, unknown>>,
  isTheirs: IsTheirs = nobodys,
): { error: DaypassError; strike: boolean } {
  const words = typeof message === 'string' ? message : 'The upstream ended the stream with an error.';
  const error = new DaypassError('upstream_error', cleaned(words, isTheirs), { retry: false });
  return { error, strike: isSafetyRefusal(code) };
}

export function isSafetyRefusal(code: unknown): boolean {
  return typeof code === 'string' && (SAFETY_CODES.has(code) || IDENTIFIER_BLOCKED.test(code));
}

function cleaned(text: string, isTheirs: IsTheirs): string {
  return withoutIds(text, isTheirs).slice(0, MESSAGE_MAX).toWellFormed();
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
