import { isUtf8 } from 'node:buffer';
import { DaypassError } from '#libs/contracts/errors.js';
import { DEPTH_MAX, JsonScan } from './json.scan.js';

export type Json = unknown;
export type JsonObject = Record<string, unknown>;

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Its values; none where it is no list. */
export function valuesIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/**
 * Reads a request's JSON so that what is forwarded can be what was sent: numbers are exact, strings are well-formed.
 * @throws DaypassError as the three steps below
 */
export function readJson(bytes: Uint8Array): Json {
  // The scan writes into the bytes.
  const own = Buffer.from(bytes);
  const scan = new JsonScan();
  scan.read(own, 0, own.length);
  return parseJson(textOf(own), own, scan);
}

/** @throws DaypassError `invalid_json` where it is not UTF-8 */
export function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes))
    throw new DaypassError('invalid_json', 'The request body is not UTF-8. Encode the JSON as UTF-8.');
  return bytes.toString('utf8', bytes.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0);
}

/**
 * `text`: what `bytes` hold, all of which `scan` has seen.
 * @throws DaypassError `invalid_json`; `invalid_request` for a number beyond 2^53, which is named
 */
export function parseJson(text: string, bytes: Buffer, scan: JsonScan): Json {
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DaypassError('invalid_json', 'The request body is not valid JSON.');
  }
  scan.refuseUnsafe(bytes);
  return value;
}

/** Whether a value is nested deeper than a reader of it may go. */
export function isTooDeep(value: unknown, levels = DEPTH_MAX): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((inner) => isTooDeep(inner, levels - 1));
  // Readers ask it of each part of a stream. A list of the values took longer than to look at them (measured).
  for (const name in value) if (isTooDeep((value as JsonObject)[name], levels - 1)) return true;
  return false;
}

/** The same with U+FFFD for each half of a surrogate pair that stands alone. */
export function wellFormedDeep(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormedDeep);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.toWellFormed(), wellFormedDeep(inner)]));
}
