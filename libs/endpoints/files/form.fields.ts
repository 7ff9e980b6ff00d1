import { DaypassError } from '#libs/contracts/errors.js';
import type { JsonObject } from '../json.js';

/** `a[b][c]`: no API has more levels. */
const LEVELS_MAX = 3;
const NAME = /^([^[\]]+)((?:\[[^[\]]*\])*)$/;

export interface FormField {
  name: string;
  text: string;
}

type Node = string | Node[] | Map<string, Node>;

/**
 * The text fields of a form as JSON: `name[]` and names that repeat make an array, `a[b]` an object. All values stay
 * strings. @throws DaypassError `invalid_request` that names the field
 */
export function jsonOfFields(fields: readonly FormField[]): JsonObject {
  const all = new Map<string, Node>();
  for (const { name, text } of fields) put(all, pathOf(name), text, name);
  return plain(all) as JsonObject;
}

/** The same the other way: as official clients write an object into a form. */
export function fieldsOfJson(json: JsonObject): FormField[] {
  return Object.entries(json).flatMap(([name, value]) => fieldsOf(name, value));
}

function fieldsOf(name: string, value: unknown): FormField[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((inner: unknown) => fieldsOf(`${name}[]`, inner));
  if (typeof value === 'object') {
    return Object.entries(value).flatMap(([inner, one]) => fieldsOf(`${name}[${inner}]`, one));
  }
  return [{ name, text: String(value as string | number | boolean) }];
}

/** `a[b][]` → a, b, ''. */
function pathOf(name: string): readonly string[] {
  const [, first, rest = ''] = NAME.exec(name) ?? [];
  const path =
    first === undefined
      ? []
      : [
          first,
          ...rest
            .split(']')
            .slice(0, -1)
            .map((one) => one.slice(1)),
        ];
  const isList = path.slice(0, -1).includes('');
  if (path.length === 0 || path.length > LEVELS_MAX || isList) {
    throw refusal(name, `'${shown(name)}' is no name of a form's field. Write 'name', 'name[]' or 'name[part]'.`);
  }
  return path;
}

function put(into: Map<string, Node>, path: readonly string[], text: string, name: string): void {
  const [first, ...rest] = path as [string, ...string[]];
  const former = into.get(first);
  const [second] = rest;
  if (second === undefined) {
    if (former instanceof Map) throw mixed(name);
    into.set(first, former === undefined ? text : [...listOf(former), text]);
    return;
  }
  if (second === '') {
    if (former instanceof Map) throw mixed(name);
    into.set(first, [...listOf(former), text]);
    return;
  }
  if (former !== undefined && !(former instanceof Map)) throw mixed(name);
  const inner = former ?? new Map<string, Node>();
  into.set(first, inner);
  put(inner, rest, text, name);
}

function listOf(node: Node | undefined): Node[] {
  if (node === undefined) return [];
  return Array.isArray(node) ? node : [node];
}

/** `Object.fromEntries` makes an own property of any name, also of `__proto__`. */
function plain(node: Node): unknown {
  if (node instanceof Map) return Object.fromEntries([...node].map(([name, inner]) => [name, plain(inner)]));
  return node;
}

const shown = (name: string): string => name.slice(0, 100);

const mixed = (name: string): DaypassError =>
  refusal(name, `The form has '${shown(name)}' both as a value and with parts. Send one of them.`);

const refusal = (name: string, message: string): DaypassError =>
  new DaypassError('invalid_request', message, { param: shown(name) });
