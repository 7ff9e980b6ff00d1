import { DaypassError } from '#libs/contracts/errors.js';
import { isObject, type Json, type JsonObject } from '#libs/endpoints/json.js';
import { oneOf, refuse, refuseUnknown } from '#libs/endpoints/refusals.js';
import { itemsOf } from '#libs/endpoints/responses/items.js';
import { listed } from '#libs/endpoints/responses/listed.js';
import { ENCRYPTED, INCLUDABLE as ASKABLE, METADATA_MAX } from '#libs/endpoints/responses/request.declaration.js';
import { ITEMS_AT_ONCE_MAX, type PageAsked } from '#libs/shelf/conversation.store.js';

/** What visitors ask of the shelf: queries and bodies, each field checked by name. */

/** What OpenAI's `include` may name of what was stored. Only encrypted content is left out where nobody asks for it. */
export const INCLUDABLE = [...ASKABLE, 'file_search_call.results', 'code_interpreter_call.outputs'] as const;
export const PAGE_DEFAULT = 20;
export const PAGE_MAX = 100;
/** Official clients write an array of a query under each of these names. */
const INCLUDE_NAME = /^include(\[\d*\])?$/;

export type Asked = Readonly<Record<string, unknown>>;

export interface Include {
  encrypted: boolean;
}

/** `GET /v1/responses/{id}`. @throws DaypassError that names the parameter */
export function responseQuery(query: Asked): Include {
  const { include, rest } = includeOf(query);
  for (const name of Object.keys(rest)) {
    // What clients send by default is what they get.
    if (name === 'stream' && rest[name] === 'false') continue;
    if (name === 'stream' || name === 'starting_after' || name === 'include_obfuscation') {
      throw new DaypassError(
        'invalid_request',
        `'${name}' is not possible here: a stored response is read in one piece. Leave it out.`,
        { param: name },
      );
    }
    refuseUnknown(name);
  }
  return include;
}

/** Lists of items. @throws DaypassError that names the parameter */
export function pageQuery(query: Asked): { page: PageAsked; include: Include } {
  const { include, rest } = includeOf(query);
  const { after = '', limit = String(PAGE_DEFAULT), order = 'desc', ...unknown } = rest;
  for (const name of Object.keys(unknown)) refuseUnknown(name);
  if (typeof after !== 'string') refuse('after', 'the id of an item');
  if (order !== 'asc' && order !== 'desc') refuse('order', oneOf(['asc', 'desc']));
  const count = typeof limit === 'string' && /^\d{1,3}$/.test(limit) ? Number(limit) : 0;
  if (count < 1 || count > PAGE_MAX) refuse('limit', `a whole number from 1 to ${PAGE_MAX}`);
  return { page: { after, limit: count, descending: order === 'desc' }, include };
}

/** Where only `include` may be asked for. @throws DaypassError that names the parameter */
export function includeQuery(query: Asked): Include {
  const { include, rest } = includeOf(query);
  for (const name of Object.keys(rest)) refuseUnknown(name);
  return include;
}

/** Where nothing may be asked for. @throws DaypassError that names the parameter */
export function noQuery(query: Asked): void {
  for (const name of Object.keys(query)) refuseUnknown(name);
}

function includeOf(query: Asked): { include: Include; rest: Asked } {
  const entries = Object.entries(query);
  const words = entries.flatMap(([name, value]) => (INCLUDE_NAME.test(name) ? value : []));
  if (!words.every((word) => (INCLUDABLE as readonly unknown[]).includes(word))) refuse('include', oneOf(INCLUDABLE));
  return {
    include: { encrypted: words.includes(ENCRYPTED) },
    rest: Object.fromEntries(entries.filter(([name]) => !INCLUDE_NAME.test(name))),
  };
}

/** `POST /v1/conversations`. @throws DaypassError that names the field */
export function newConversation(body: Json): { metadata: Record<string, string>; items: JsonObject[] } {
  const { metadata, items, ...unknown } = fieldsOf(body ?? {});
  for (const name of Object.keys(unknown)) refuseUnknown(name);
  return { metadata: metadataOf(metadata), items: (items ?? null) === null ? [] : newItems(items, 0) };
}

/** `POST /v1/conversations/{id}`. @throws DaypassError that names the field */
export function changedConversation(body: Json): { metadata: Record<string, string> } {
  const { metadata, ...unknown } = fieldsOf(body ?? {});
  for (const name of Object.keys(unknown)) refuseUnknown(name);
  if (metadata === undefined) refuse('metadata', 'an object');
  return { metadata: metadataOf(metadata) };
}

/** `POST /v1/conversations/{id}/items`. @throws DaypassError that names the field */
export function addedItems(body: Json): JsonObject[] {
  const { items, ...unknown } = fieldsOf(body ?? {});
  for (const name of Object.keys(unknown)) refuseUnknown(name);
  return newItems(items, 1);
}

function fieldsOf(body: Json): JsonObject {
  return isObject(body) ? body : refuse('', 'an object');
}

function newItems(items: unknown, least: number): JsonObject[] {
  const rule = `an array of ${least} to ${ITEMS_AT_ONCE_MAX} items`;
  if (!Array.isArray(items) || items.length < least || items.length > ITEMS_AT_ONCE_MAX) return refuse('items', rule);
  return itemsOf(items, 'items').map(listed);
}

function metadataOf(value: unknown): Record<string, string> {
  if ((value ?? null) === null) return {};
  if (!isObject(value)) return refuse('metadata', 'an object');
  const { pairs, nameCharacters, valueCharacters } = METADATA_MAX;
  const entries = Object.entries(value);
  if (entries.length > pairs) refuse('metadata', `an object of at most ${pairs} pairs`);
  for (const [name, one] of entries) {
    if (name.length > nameCharacters)
      refuse('metadata', `an object whose names have at most ${nameCharacters} characters`);
    if (typeof one !== 'string' || one.length > valueCharacters)
      refuse(`metadata.${name}`, `a string of at most ${valueCharacters} characters`);
  }
  return value as Record<string, string>;
}
