import { DaypassError } from '#libs/contracts/errors.js';

export type Json = unknown;
export type JsonObject = Record<string, unknown>;

/** What reads a request below here is recursive, and no honest one is this deep. */
const DEPTH_MAX = 64;
/** Objects, arrays, strings and numbers of one request, all together. */
const VALUES_MAX = 100_000;
/** A number that JavaScript might not hold: sixteen digits, or an exponent of three. */
const LARGE_NUMBER = /\d{16}|[eE]\+?\d{3}/;
/** So many digits before a fraction or an exponent. */
const LARGE_INTEGER = /^-?\d{16}/;
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/** Stands for a number that would be forwarded as another one. */
class Unsafe {}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads a request's JSON so that what is forwarded can be what was sent: numbers are exact, strings are well-formed.
 * @throws DaypassError `invalid_json`; `invalid_request` for a number beyond 2^53, which is named, and for what is too deep or too much
 */
export function readJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new DaypassError('invalid_json', 'The request body is not UTF-8. Encode the JSON as UTF-8.');
  }
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DaypassError('invalid_json', 'The request body is not valid JSON.');
  }
  measureUp(value);
  if (LARGE_NUMBER.test(text)) refuseUnsafe(JSON.parse(text, unsafeMarked as Reviver), '');
  return SURROGATE_ESCAPE.test(text) ? wellFormedDeep(value) : value;
}

type Reviver = (key: string, value: unknown) => unknown;

function unsafeMarked(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  return !Number.isFinite(value) || LARGE_INTEGER.test(context?.source ?? '') ? new Unsafe() : value;
}

function refuseUnsafe(value: unknown, at: string): void {
  if (value instanceof Unsafe) {
    const param = at.slice(0, 200);
    throw new DaypassError(
      'invalid_request',
      `'${param}' is a number beyond 2^53, which JSON's readers change in silence. Give a smaller one, or a string.`,
      { param },
    );
  }
  if (Array.isArray(value)) value.forEach((item: unknown, index) => refuseUnsafe(item, `${at}[${index}]`));
  else if (isObject(value)) {
    for (const [name, inner] of Object.entries(value)) refuseUnsafe(inner, at === '' ? name : `${at}.${name}`);
  }
}

/** Iterative: deep input would use up the stack. */
function measureUp(value: unknown): void {
  let level: unknown[] = typeof value === 'object' && value !== null ? [value] : [];
  let values = 1;
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) {
      throw new DaypassError('invalid_request', `The request body must not be nested deeper than ${DEPTH_MAX} levels.`);
    }
    const next: unknown[] = [];
    for (const item of level) {
      const inner = Array.isArray(item) ? (item as unknown[]) : Object.values(item as object);
      values += inner.length;
      for (const one of inner) if (typeof one === 'object' && one !== null) next.push(one);
    }
    if (values > VALUES_MAX) {
      throw new DaypassError('invalid_request', `The request body must not hold more than ${VALUES_MAX} values.`);
    }
    level = next;
  }
}

/** Whether a value is nested deeper than a reader of it may go. */
export function isTooDeep(value: unknown, levels = DEPTH_MAX): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isTooDeep(inner, levels - 1));
}

/** The same with U+FFFD for each half of a surrogate pair that stands alone. */
export function wellFormedDeep(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormedDeep);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.toWellFormed(), wellFormedDeep(inner)]));
}
