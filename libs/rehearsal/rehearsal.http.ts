import type { IncomingMessage, ServerResponse } from 'node:http';

/** An error instead of an answer, as the provider would send it. */
export interface Refusal {
  status: number;
  headers?: Record<string, string>;
  error: { message: string; type?: string; code?: string | null; param?: string | null };
  /** A body instead of the error object, which no API should answer. */
  garbage?: string;
}

const BODY_MAX_BYTES = 64 * 1024 * 1024;

export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_MAX_BYTES) throw new Error(`the body is larger than ${BODY_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Error('the body must be a JSON object');
  return parsed;
}

/** A call as it begins. */
export function beginningOf<T>({ headers }: IncomingMessage, body: T, id: number) {
  return { id, startedAtMs: Date.now(), headers, body, state: 'running' as const, usage: undefined };
}

/** Aborts when the caller hangs up, or when the rehearsal stops. */
export function goneWith(response: ServerResponse, stopped: AbortSignal): AbortSignal {
  const hungUp = new AbortController();
  response.once('close', () => hungUp.abort());
  return AbortSignal.any([hungUp.signal, stopped]);
}

export function refuse(response: ServerResponse, { status, headers, error, garbage }: Refusal): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(
    garbage ?? JSON.stringify({ error: { type: 'invalid_request_error', code: null, param: null, ...error } }),
  );
}

export function sendJson(response: ServerResponse, status: number, body: object, callId?: number): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(callId === undefined ? {} : { 'x-request-id': `req_rehearsal_${callId}` }),
  });
  response.end(JSON.stringify(body));
}
