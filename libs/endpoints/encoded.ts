import { foundIn, type Replacement } from './findings.js';
import { isObject } from './json.js';

/** Each stands for one UTF-16 unit. */
const UNIT = /\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|[^]/g;
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))/g;
const ESCAPED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
/** A surrogate pair in escapes, half of one, or any other escape. */
const SURROGATES = /\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\[^]/g;
const HALF = /^\\u[dD].{3}$/;
/** What stands between the strings of JSON: numbers, `true`, `false`, `null`, brackets. */
const BETWEEN = /^[\d.eE+\-truefalsn[\]{},:\s]+$/;
/** Begins outside of a string: with a bracket, or its first quote opens one. */
const BEGINS_OUTSIDE = /^\s*[[{]|^[^"]*[[{,:]\s*"|^\s*"(?!\s*(?:[,:\]}]|$))/;

/** Each key, each string and each number of a value, in their order; `path` grows by names and indexes. */
export function walkOpen(
  value: unknown,
  path: string,
  see: { key(path: string, text: string): void; text(path: string, text: string): void },
): void {
  if (typeof value === 'string') see.text(path, value);
  else if (typeof value === 'number') see.text(path, String(value));
  else if (Array.isArray(value)) value.forEach((item: unknown, index) => walkOpen(item, `${path}.${index}`, see));
  else if (isObject(value)) {
    for (const [name, inner] of Object.entries(value)) {
      const at = path === '' ? name : `${path}.${name}`;
      see.key(at, name);
      walkOpen(inner, at, see);
    }
  }
}

/** Each key, each string and each number of a value, in their order. */
export function stringsIn(value: unknown): string[] {
  const all: string[] = [];
  const add = (_: string, text: string): void => void all.push(text);
  walkOpen(value, '', { key: add, text: add });
  return all;
}

/** The same value with its strings and its keys replaced. A number that changes becomes a string. */
export function openReplaced(
  value: unknown,
  path: string,
  put: { key(text: string): string; text(path: string, text: string): string },
): unknown {
  if (typeof value === 'string') return value === '' ? value : put.text(path, value);
  if (typeof value === 'number') {
    const text = put.text(path, String(value));
    return text === String(value) ? value : text;
  }
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => openReplaced(item, `${path}.${index}`, put));
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      put.key(name),
      openReplaced(inner, path === '' ? name : `${path}.${name}`, put),
    ]),
  );
}

/**
 * What a reader takes from JSON in a string, or from a part of it: the same with its escapes decoded. It is not parsed, because a
 * parser drops what stands under a key's first mention, and changes large numbers.
 */
export function unescaped(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replaceAll(ESCAPE, (_, code: string | undefined, short: string | undefined) =>
    code === undefined ? (ESCAPED[short!] ?? short!) : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/** JSON in a string with U+FFFD for each half of a surrogate pair that its escapes name. */
export function wellFormedEscapes(text: string): string {
  if (!text.includes('\\u')) return text;
  return text.replaceAll(SURROGATES, (escape) => (HALF.test(escape) ? '\\ufffd' : escape));
}

/**
 * JSON in a string, or a part of it, with what its escapes decode to replaced. null where something to be replaced holds a quote of
 * the JSON itself, or stands between its strings, such as a number: without that it would be no JSON.
 */
export function encodedReplaced(text: string, replacements: readonly Replacement[]): string | null {
  const units = text.match(UNIT) ?? [];
  const decoded = units.map(unescaped).join('');
  const found = foundIn(decoded, replacements);
  if (found.length === 0) return text;
  let isInside = !BEGINS_OUTSIDE.test(units.map((unit) => (unit.length > 1 ? '_' : unit)).join(''));
  const changed: string[] = [];
  let from = 0;
  for (const { at, end, replace } of found) {
    for (; from < at; from++) {
      if (units[from] === '"') isInside = !isInside;
      changed.push(units[from]!);
    }
    for (; from < end; from++) if (units[from] === '"') return null;
    if (!isInside && BETWEEN.test(decoded.slice(at, end))) return null;
    changed.push(JSON.stringify(replace).slice(1, -1));
  }
  return changed.join('') + units.slice(from).join('');
}
