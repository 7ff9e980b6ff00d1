import { newIdempotencyKey } from '../../shared/api.ts';

/** The admin API, as the console's session may use it. */
const BASE = '/admin/v1';
const TIMEOUT_MS = 30_000;
/** A write is sent so often at most. Each time it has the same Idempotency-Key, so that it happens once. */
const ATTEMPTS = 3;
const PAUSE_MS = 400;

export type Query = Readonly<Record<string, string | undefined>>;

interface ErrorBody {
  error?: { message?: string; code?: string; param?: string | null; daypass?: Record<string, unknown> };
}

/** What the API, or the way to it, answered instead of what was asked for. */
export class ApiFault extends Error {
  constructor(
    message: string,
    /** 0: nobody answered. */
    readonly status: number,
    readonly code: string,
    readonly param: string | null,
    readonly requestId: string | null,
    readonly mayRetry: boolean,
  ) {
    super(message);
    this.name = 'ApiFault';
  }
}

export const pathOf = (path: string, query: Query = {}): string => {
  const given = Object.entries(query).filter((pair): pair is [string, string] => !!pair[1]);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
};

type SignedOut = () => void;
let onSignedOut: SignedOut = () => undefined;
/** Whom a 401 concerns. */
export function whenSignedOut(listener: SignedOut): void {
  onSignedOut = listener;
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal, timeoutMs?: number): Promise<T> =>
  once<T>('GET', pathOf(path, query), undefined, {}, signal, timeoutMs);

/** A question with a body. It changes nothing, so that it may be broken off. */
export const ask = <T>(path: string, body: object, signal?: AbortSignal): Promise<T> =>
  once<T>('POST', path, body, {}, signal);

/** A write: it has an Idempotency-Key, and is sent again where nobody answered. */
export async function write<T = unknown>(
  method: 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  body: object = {},
): Promise<T> {
  const headers = { 'idempotency-key': newIdempotencyKey() };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once<T>(method, path, body, headers);
    } catch (error) {
      if (!(error instanceof ApiFault) || !error.mayRetry || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** attempt));
    }
  }
}

/** Of the session itself: once only, and its 401 tells a wrong token. */
export const openSession = (body: object): Promise<unknown> => once('POST', '/session', body, {});

async function once<T>(
  method: string,
  path: string,
  body: object | undefined,
  headers: Record<string, string>,
  signal?: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      headers: { accept: 'application/json', ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiFault(
      'Daypass does not answer. Check that it runs and that your tunnel is up.',
      0,
      'offline',
      null,
      null,
      true,
    );
  }
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  const fault = await faultOf(answer);
  if (fault.status === 401 && path !== '/session') onSignedOut();
  throw fault;
}

export async function faultOf(answer: Response): Promise<ApiFault> {
  const { error = {} } = (await answer.json().catch(() => ({}))) as ErrorBody;
  return new ApiFault(
    error.message ?? `The answer was ${answer.status}.`,
    answer.status,
    error.code ?? 'unknown',
    error.param ?? null,
    answer.headers.get('x-request-id'),
    answer.headers.get('x-should-retry') === 'true',
  );
}

/** The fault's text, where it concerns this field: a form shows it beside the field. */
export function faultAt(error: unknown, ...fields: string[]): string | undefined {
  if (!(error instanceof ApiFault) || error.param === null) return undefined;
  return fields.some((field) => error.param === field || error.param!.startsWith(`${field}.`))
    ? error.message
    : undefined;
}
