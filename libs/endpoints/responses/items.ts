import { compile, type Notes } from '../compile.js';
import { list } from '../declaration.js';
import { isObject, type Json, type JsonObject } from '../json.js';
import { ADDED_ITEM, ITEMS_MAX } from './items.declaration.js';

const items = compile(list(ADDED_ITEM, ITEMS_MAX));

/** OpenAI takes a string for a message of the user, and an item with an id alone for a reference to it. */
export function itemsIn(input: Json): Json {
  if (typeof input === 'string') return [userMessage(input)];
  if (!Array.isArray(input) || !input.some(isBareReference)) return input;
  return input.map((item: unknown) => (isBareReference(item) ? { ...item, type: 'item_reference' } : item));
}

const userMessage = (text: string): JsonObject => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
});
const isBareReference = (item: unknown): item is JsonObject =>
  isObject(item) && (item.type ?? null) === null && (item.role ?? null) === null && typeof item.id === 'string';

/**
 * Items that a visitor puts into a conversation, as a request may hold them.
 * @throws DaypassError that names the place, which begins with `at`
 */
export function itemsOf(value: Json, at: string): JsonObject[] {
  const notes: Notes = { adjusted: new Set(), ours: new Map() };
  return items.parse(itemsIn(value), at, notes) as JsonObject[];
}
