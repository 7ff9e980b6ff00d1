import type { JsonObject } from '#libs/endpoints/json.js';
import type { ShelvedItem } from '#libs/endpoints/shelved.js';
import type { Conversation } from '#libs/shelf/shelf.types.js';
import type { Include } from './shelf.requests.js';

/** What visitors see of the shelf. */

export function showResponse(response: JsonObject, output: readonly ShelvedItem[], include: Include): JsonObject {
  const whole = new Map(output.map(({ item }) => [item.id, item]));
  const items = Array.isArray(response.output) ? (response.output as JsonObject[]) : [];
  const isWhole = ({ type }: JsonObject): boolean =>
    type === 'image_generation_call' || (include.encrypted && type === 'reasoning');
  const shown = items.map((item) => showItem(isWhole(item) ? (whole.get(item.id) ?? item) : item, include));
  return { ...response, output: shown };
}

/** Encrypted content of thoughts only where somebody asks for it: clients that keep items would send it back. */
export function showItem(item: JsonObject, { encrypted }: Include): JsonObject {
  if (item.type === 'message') return item.status === undefined ? { ...item, status: 'completed' } : item;
  if (item.type !== 'reasoning' || encrypted || item.encrypted_content === undefined) return item;
  return Object.fromEntries(Object.entries(item).filter(([name]) => name !== 'encrypted_content'));
}

export function showList(items: readonly JsonObject[], hasMore: boolean, include: Include): JsonObject {
  return {
    object: 'list',
    data: items.map((item) => showItem(item, include)),
    first_id: items[0]?.id ?? null,
    last_id: items.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

export function showConversation({ id, createdAt, metadata }: Conversation): JsonObject {
  return { id, object: 'conversation', created_at: createdAt, metadata };
}
