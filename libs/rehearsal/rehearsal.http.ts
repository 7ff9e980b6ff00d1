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

/** A file of a form, as it came. */
export interface SentFile {
  field: string;
  filename: string;
  type: string;
  content: Buffer;
}

/** What came in a form. A name that ends with `[]`, or repeats, has several texts. */
export interface SentForm {
  fields: Readonly<Record<string, readonly string[]>>;
  files: readonly SentFile[];
}

/** @throws where it is no form, or breaks off */
export async function readForm(request: IncomingMessage): Promise<SentForm> {
  const headers = { 'content-type': request.headers['content-type'] ?? '' };
  const form = await new Response(new Uint8Array(await readBytes(request)), { headers }).formData();
  const fields = new Map<string, string[]>();
  const files: SentFile[] = [];
  for (const [field, value] of form) {
    if (typeof value === 'string') fields.set(field, [...(fields.get(field) ?? []), value]);
    else {
      const content = Buffer.from(await value.arrayBuffer());
      files.push({ field, filename: value.name, type: value.type, content });
    }
  }
  return { fields: Object.fromEntries(fields), files };
}

/** Whether a request is a form rather than JSON. */
export const isForm = ({ headers }: IncomingMessage): boolean =>
  (headers['content-type'] ?? '').startsWith('multipart/form-data');

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_MAX_BYTES) throw new Error(`the body is larger than ${BODY_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function readJson(request: IncomingMessage): Promise<unknown> {
  const parsed: unknown = JSON.parse((await readBytes(request)).toString('utf8'));
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

/** An answer that is no text, such as sound. */
export function sendBytes(response: ServerResponse, contentType: string, body: Uint8Array): void {
  response.writeHead(200, { 'content-type': contentType, 'content-length': String(body.byteLength) });
  response.end(body);
}

export function sendJson(response: ServerResponse, status: number, body: object, callId?: number): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(callId === undefined ? {} : { 'x-request-id': `req_rehearsal_${callId}` }),
  });
  response.end(JSON.stringify(body));
}
