import type { ErrorBody, ErrorCode } from '#libs/contracts/errors.js';

/** `offline`: no answer came. `unavailable`: something in front of Daypass answered for it. */
export type FaultCode = ErrorCode | 'offline' | 'unavailable' | 'unreadable';

export interface Fault {
  status: number;
  code: FaultCode;
  message: string;
  details: Record<string, unknown>;
  retryAfterMs: number | null;
  requestId: string | null;
}
export type Answer<T> = { ok: true; data: T } | { ok: false; fault: Fault };

export interface Ask {
  method?: 'GET' | 'POST';
  body?: unknown;
  /** A virtual key. */
  key?: string;
  idempotencyKey?: string;
  timeoutMs?: number;
  /** The server may know who this browser is. */
  withCookie?: boolean;
  /** The answer is all of the body, because a list has its cursor beside `data`. */
  isWhole?: boolean;
}

/** Longer than the 8 s that ingress waits for accounting, so that its own answer arrives. */
const TIMEOUT_MS = 12_000;

/** Asks an API of the page's own host. It never throws. */
export async function ask<T>(path: string, wish: Ask = {}): Promise<Answer<T>> {
  const {
    method = 'GET',
    body,
    key,
    idempotencyKey,
    timeoutMs = TIMEOUT_MS,
    isWhole = false,
    withCookie = false,
  } = wish;
  let response: Response | undefined;
  try {
    response = await fetch(path, {
      method,
      credentials: withCookie ? 'same-origin' : 'omit',
      cache: 'no-store',
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const whole = (await response.json()) as { data: T } & Partial<ErrorBody>;
    if (!response.ok) return { ok: false, fault: faultOf(response, whole.error) };
    return { ok: true, data: isWhole ? (whole as T) : whole.data };
  } catch {
    return { ok: false, fault: faultOf(response, undefined) };
  }
}

/** `error`: what the answer says, or an event of it. Without one the answer itself tells what is wrong. */
export function faultOf(response: Response | undefined, error: ErrorBody['error'] | undefined): Fault {
  const seconds = Number(response?.headers.get('retry-after') ?? Number.NaN);
  const rest = {
    status: response?.status ?? 0,
    details: error?.daypass ?? {},
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1_000 : null,
    requestId: response?.headers.get('x-request-id') ?? null,
  };
  if (error) return { ...rest, code: error.code as ErrorCode, message: error.message };
  if (response === undefined) return { ...rest, code: 'offline', message: 'No answer came.' };
  return response.status >= 500
    ? { ...rest, code: 'unavailable', message: 'The service is not there at the moment.' }
    : { ...rest, code: 'unreadable', message: 'The answer came damaged.' };
}

/** The same request under the same Idempotency-Key can succeed a moment later. */
const PASSING: readonly FaultCode[] = [
  'offline',
  'unavailable',
  'unreadable',
  'recovering',
  'overloaded',
  'idempotency_in_progress',
];
export const isPassing = ({ code }: Fault): boolean => PASSING.includes(code);

export const RETRIES = 3;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 10_000;

/** Tries once, and three times more while nobody knows the answer. `waits` hears of each wait before it. */
export async function persist<T>(
  attempt: () => Promise<Answer<T>>,
  waits: (waitMs: number, retry: number) => void,
): Promise<Answer<T>> {
  let answer = await attempt();
  for (let retry = 1; retry <= RETRIES && !answer.ok && isPassing(answer.fault); retry++) {
    const backoffMs = FIRST_WAIT_MS * 2 ** (retry - 1);
    const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(backoffMs, answer.fault.retryAfterMs ?? 0));
    waits(waitMs, retry);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    answer = await attempt();
  }
  return answer;
}

/** 128 random bits. Pages on `http://` by a LAN address have no `crypto.randomUUID`. */
export function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
