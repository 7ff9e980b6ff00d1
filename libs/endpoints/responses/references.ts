import { DaypassError } from '#libs/contracts/errors.js';
import { compile } from '../compile.js';
import type { Request } from '../endpoint.js';
import { isObject, type JsonObject } from '../json.js';
import type { Found, Ref, ShelvedItem } from '../shelved.js';
import { ITEM, ITEMS_MAX } from './items.declaration.js';
import { readKept } from './kept.js';

const item = compile(ITEM);

const isReference = ({ type }: JsonObject): boolean => type === 'item_reference';
/** A client leaves the encrypted content out where it takes the response for stored. */
const isNameOnly = ({ type, id, encrypted_content: content }: JsonObject): boolean =>
  type === 'reasoning' && typeof id === 'string' && (content === undefined || content === '');

/**
 * What a request names instead of containing it: each name once.
 * @throws DaypassError `invalid_request` where two references name one item
 */
export function refsOf(items: readonly JsonObject[], response: string | null, conversation: string | null): Ref[] {
  const refs: Ref[] = [
    ...(response === null ? [] : [{ kind: 'response' as const, id: response, param: 'previous_response_id' }]),
    ...(conversation === null ? [] : [{ kind: 'conversation' as const, id: conversation, param: 'conversation' }]),
  ];
  const named = new Map<string, Ref>();
  for (const each of items) {
    const id = each.id as string;
    if (isReference(each)) {
      // OpenAI refuses it, too. A small request would else become as large as it likes.
      if (named.has(id)) throw duplicate(id);
      named.set(id, { kind: 'item', id, param: 'input' });
    } else if (isNameOnly(each) && !named.has(id)) named.set(id, { kind: 'item', id, param: 'input', optional: true });
  }
  return [...refs, ...named.values()];
}

/**
 * The same request with the contents of its names. What the visitor sent stays as it was sent.
 * @throws DaypassError `not_found` for an item that nobody found; `invalid_request` where it is too long
 */
export function expanded(request: Request, { before, items: found }: Found): Request {
  const json = request.body.json as JsonObject;
  const opaqueTokens = new Map<unknown, number>();
  const restored = ({ item: shelved, opaqueTokens: tokens }: ShelvedItem): JsonObject => {
    const own = sendable(shelved);
    if (tokens !== undefined) opaqueTokens.set(own, tokens);
    return own;
  };
  const restoredIds = new Set<string>();
  const own = (json.input as JsonObject[]).map((each): JsonObject => {
    const id = isReference(each) || isNameOnly(each) ? (each.id as string) : undefined;
    const shelved = id === undefined || restoredIds.has(id) ? undefined : found.get(id);
    if (shelved) {
      restoredIds.add(id!);
      return restored(shelved);
    }
    if (!isReference(each)) return each;
    throw new DaypassError('not_found', `Item with id '${each.id as string}' not found.`, { param: 'input' });
  });
  const input = [...before.map(restored), ...own];
  if (input.length > ITEMS_MAX) {
    throw new DaypassError(
      'invalid_request',
      `The request has ${input.length} items with those of the response or conversation that it names. At most ${ITEMS_MAX} are possible. ` +
        'Begin a new conversation, or send a shorter input.',
      { param: 'input' },
    );
  }
  return {
    ...request,
    body: {
      ...request.body,
      json: { ...json, input },
      kept: { ...readKept(request.body.kept), ownFrom: before.length },
    },
    opaqueTokens,
  };
}

function duplicate(id: string): DaypassError {
  return new DaypassError('invalid_request', `Item '${id}' is in the input twice. Remove one of the two.`, {
    param: 'input',
  });
}

/**
 * An item of an answer as a request may hold it. What the declaration does not know goes back as its upstream made it, and is
 * judged like any other text.
 */
function sendable(shelved: JsonObject): JsonObject {
  try {
    const parsed = item.parse(shelved, 'input', { adjusted: new Set(), ours: new Map() });
    return isObject(parsed) ? parsed : shelved;
  } catch (error) {
    if (error instanceof DaypassError) return shelved;
    throw error;
  }
}
