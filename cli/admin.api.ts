import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { ErrorBody } from '#libs/contracts/errors.js';

/** How a command ends that fails: Daypass said no, it was written wrongly, or nobody answered. */
export const EXIT = { refused: 1, usage: 2, unreachable: 3 } as const;
/** Each time a write has the same Idempotency-Key, so that it happens once. */
const ATTEMPTS = 3;
const PAUSE_MS = 150;
/** The API's largest page. */
const PAGE_ROWS = 200;

export class Failure extends Error {
  constructor(
    readonly exitCode: (typeof EXIT)[keyof typeof EXIT],
    message: string,
  ) {
    super(message);
  }
}

export type Fields = Record<string, unknown>;
const setting = (name: string): string | undefined => process.env[name]?.trim() || undefined;

/** A path whose parts are written as an address needs them. */
export const at = (parts: TemplateStringsArray, ...values: string[]): string =>
  String.raw({ raw: parts }, ...values.map((value) => encodeURIComponent(value)));

/** @throws Failure for every answer that is no success */
export async function call<T>(method: string, path: string, fields: Fields = {}): Promise<T> {
  const answer = await ask(method, path, fields);
  return (answer.status === 204 ? { data: 'done' } : await answer.json().catch(() => null)) ?? throwUnreachable();
}

/** Rows of a list, page after page, `most` at most. */
export async function* rows<T>(path: string, query: Fields, most: number): AsyncGenerator<T> {
  for (let [left, cursor]: [number, string | undefined] = [most, undefined]; left > 0;) {
    const page: Page<T> = await call('GET', path, { ...query, cursor, limit: Math.min(left, PAGE_ROWS) });
    yield* page.data;
    if (!page.next_cursor) return;
    [left, cursor] = [left - page.data.length, page.next_cursor];
  }
}

export async function list<T>(path: string, query: Fields, most: number): Promise<T[]> {
  const found: T[] = [];
  for await (const row of rows<T>(path, query, most)) found.push(row);
  return found;
}

/** `fields` are the query of a GET, and the body of a write. */
export async function ask(method: string, path: string, fields: Fields, accept = '*/*'): Promise<Response> {
  const isWrite = method !== 'GET';
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const query = isWrite || given.length === 0 ? '' : `?${new URLSearchParams(given.map(([k, v]) => [k, String(v)]))}`;
  const body = isWrite && (given.length > 0 || method !== 'DELETE') ? JSON.stringify(fields) : undefined;
  const headers = {
    ...{ accept, authorization: `Bearer ${token()}`, 'x-daypass-actor': actor() },
    ...(isWrite ? { 'idempotency-key': randomUUID() } : {}),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(`${origin()}/admin/v1${path}${query}`, { method, headers, body: body ?? null }).catch(
      () => null,
    );
    if (answer?.ok) return answer;
    const mayRepeat = answer === null || answer.headers.get('x-should-retry') === 'true';
    if (!mayRepeat || attempt === ATTEMPTS) throw answer === null ? throwUnreachable() : await refusal(answer);
    await sleep(PAUSE_MS * 2 ** attempt);
  }
}

async function refusal(answer: Response): Promise<Failure> {
  const { error } = (await answer.json().catch(() => ({}))) as Partial<ErrorBody>;
  if (!error?.code) return throwUnreachable();
  const request = answer.headers.get('x-request-id');
  const whatToDo =
    answer.status === 401 ? '\nThe token is DAYPASS_ADMIN_TOKEN, else that of .daypass/admin-token.' : '';
  return new Failure(EXIT.refused, `${error.message}${whatToDo} (${error.code}, request ${request})`);
}

function throwUnreachable(): never {
  const whatToDo = 'Start it, open your tunnel, or set DAYPASS_ADMIN_URL.';
  throw new Failure(EXIT.unreachable, `No Daypass answers at ${origin()}. ${whatToDo}`);
}

function origin(): string {
  const url = setting('DAYPASS_ADMIN_URL') ?? `http://localhost:${setting('DAYPASS_ADMIN_PORT') ?? '8081'}`;
  if (/^https?:/.test(url) && URL.canParse(url)) return new URL(url).origin;
  throw new Failure(EXIT.usage, 'DAYPASS_ADMIN_URL must be an address such as http://localhost:8081.');
}

const actor = (): string =>
  (setting('DAYPASS_ACTOR') ?? setting('USER') ?? 'cli').replaceAll(/[^ -~]/g, '?').slice(0, 100);

function token(): string {
  const file = setting('DAYPASS_ADMIN_TOKEN_FILE') ?? join(setting('DAYPASS_DATA_DIR') ?? '.daypass', 'admin-token');
  try {
    return setting('DAYPASS_ADMIN_TOKEN') ?? readFileSync(file, 'utf8').trim();
  } catch {
    const whatToDo = 'Set DAYPASS_ADMIN_TOKEN, or come to the folder where `npm start` made that file.';
    throw new Failure(EXIT.usage, `No admin token: nobody can read ${file}. ${whatToDo}`);
  }
}
