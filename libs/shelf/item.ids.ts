import { randomBytes } from 'node:crypto';
import type { JsonObject } from '#libs/endpoints/json.js';
import { itemId } from '#libs/endpoints/responses/item.ids.js';

/** No two ids of one key are the same, in whatever process it is made. */
const ID_BYTES = 16;

const fresh = (): string => randomBytes(ID_BYTES).toString('hex');

export const newConversationId = (): string => `conv_${fresh()}`;

/** The item under an id of the relay's own. Without a type it is a message. */
export function withOwnId(item: JsonObject): JsonObject {
  return { ...item, id: itemId(item.type ?? 'message', fresh()) };
}
