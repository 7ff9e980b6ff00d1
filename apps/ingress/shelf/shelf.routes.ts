import type { ErrorCode } from '#libs/contracts/errors.js';
import { jsonSchemaOf, type JsonSchema } from '#libs/endpoints/json.schema.js';
import { RESPONSES_ANSWER } from '#libs/endpoints/responses/answer.declaration.js';
import { ADDED_ITEM } from '#libs/endpoints/responses/items.declaration.js';
import { METADATA_MAX, RESPONSES_REQUEST } from '#libs/endpoints/responses/request.declaration.js';
import { ITEMS_AT_ONCE_MAX } from '#libs/shelf/conversation.store.js';
import { KEY_ERRORS, objectOf, type VisitorRoute } from '../visitor.route.js';
import { INCLUDABLE, PAGE_DEFAULT, PAGE_MAX } from './shelf.requests.js';

const READ_ERRORS: readonly ErrorCode[] = [
  ...KEY_ERRORS,
  'key_suspended',
  'not_found',
  'overloaded',
  'rate_limit_exceeded',
  'unknown_parameter',
];
const WRITE_ERRORS: readonly ErrorCode[] = [
  ...READ_ERRORS,
  'invalid_json',
  'request_too_large',
  'unpriceable_request',
  'unsupported_content_type',
];

const ACCEPTS = ['application/json'];
const id: JsonSchema = { type: 'string' };
const metadata: JsonSchema = {
  type: 'object',
  propertyNames: { maxLength: METADATA_MAX.nameCharacters },
  additionalProperties: { type: 'string', maxLength: METADATA_MAX.valueCharacters },
  maxProperties: METADATA_MAX.pairs,
};
const addedItems = (least: number): JsonSchema => ({
  type: 'array',
  items: jsonSchemaOf(ADDED_ITEM, 'request'),
  ...(least > 0 ? { minItems: least } : {}),
  maxItems: ITEMS_AT_ONCE_MAX,
});
const sampleItem = { type: 'message', role: 'user', content: 'Hello' };
const body = (properties: Readonly<Record<string, JsonSchema>>, ...required: string[]): JsonSchema => ({
  type: 'object',
  properties,
  ...(required.length > 0 ? { required } : {}),
  additionalProperties: false,
});

const INCLUDE: Readonly<Record<string, JsonSchema>> = {
  include: {
    type: 'array',
    items: { type: 'string', enum: INCLUDABLE },
    description:
      'Without `reasoning.encrypted_content` the items come without their encrypted content. All else is there',
  },
};
const PAGE: Readonly<Record<string, JsonSchema>> = {
  ...INCLUDE,
  after: { type: 'string', description: 'The id of the last item of the page before' },
  limit: { type: 'integer', minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT },
  order: { type: 'string', enum: ['asc', 'desc'], default: 'desc', description: 'desc: newest first' },
};

const RESPONSE = jsonSchemaOf(RESPONSES_ANSWER, 'answer');
const ITEM: JsonSchema = {
  ...objectOf({ id, type: { type: 'string' } }),
  description: 'An item as a request sent it, or as an answer showed it',
};
const ITEMS = objectOf({
  object: { const: 'list' },
  data: { type: 'array', items: ITEM },
  first_id: { type: ['string', 'null'] },
  last_id: { type: ['string', 'null'] },
  has_more: { type: 'boolean' },
});
const CONVERSATION = objectOf({
  id,
  object: { const: 'conversation' },
  created_at: { type: 'integer', description: 'Seconds since 1970' },
  metadata,
});
const deleted = (object: string): JsonSchema => objectOf({ id, object: { const: object }, deleted: { const: true } });

const read = { method: 'GET', streams: false, about: 'stored', errors: READ_ERRORS } as const;
const remove = { ...read, method: 'DELETE' } as const;
const write = { method: 'POST', streams: false, about: 'stored', errors: WRITE_ERRORS } as const;

/** What Daypass keeps for a key: its responses and its conversations. */
export const SHELF_ROUTES: readonly VisitorRoute[] = [
  {
    ...read,
    path: '/v1/responses/{id}',
    operationId: 'responses.retrieve',
    summary: 'A response that Daypass keeps, whole',
    query: { ...INCLUDE, stream: { const: false, description: 'A stored response is read in one piece' } },
    answer: RESPONSE,
  },
  {
    ...write,
    path: '/v1/responses/input_tokens',
    operationId: 'responses.input_tokens',
    summary: 'How many tokens a request would have, by the count of Daypass: nothing is sent',
    request: {
      accepts: ACCEPTS,
      schema: jsonSchemaOf(RESPONSES_REQUEST, 'request'),
      sample: { model: 'gpt-5.4-mini', input: 'Say hello' },
    },
    answer: objectOf({ object: { const: 'response.input_tokens' }, input_tokens: { type: 'integer' } }),
    errors: [...WRITE_ERRORS, 'model_not_found', 'previous_response_not_found'],
  },
  {
    ...write,
    path: '/v1/responses/{id}/cancel',
    operationId: 'responses.cancel',
    summary: 'Ends a response in the background, and answers with it',
    answer: RESPONSE,
  },
  {
    ...remove,
    path: '/v1/responses/{id}',
    operationId: 'responses.delete',
    summary: 'Forgets a response',
    answer: deleted('response'),
  },
  {
    ...read,
    path: '/v1/responses/{id}/input_items',
    operationId: 'responses.input_items.list',
    summary: 'The input of a response, in pages',
    query: PAGE,
    answer: ITEMS,
  },
  {
    ...write,
    path: '/v1/conversations',
    operationId: 'conversations.create',
    summary: 'A new conversation, empty or with items',
    request: {
      accepts: ACCEPTS,
      schema: body({ metadata, items: addedItems(0) }),
      sample: { metadata: { topic: 'a first talk' }, items: [sampleItem] },
      isOptional: true,
    },
    answer: CONVERSATION,
  },
  {
    ...read,
    path: '/v1/conversations/{id}',
    operationId: 'conversations.retrieve',
    summary: 'A conversation, without its items',
    answer: CONVERSATION,
  },
  {
    ...write,
    path: '/v1/conversations/{id}',
    operationId: 'conversations.update',
    summary: 'Gives a conversation other metadata',
    request: {
      accepts: ACCEPTS,
      schema: body({ metadata: { ...metadata, type: ['object', 'null'], description: 'null: none' } }, 'metadata'),
      sample: { metadata: { topic: 'another talk' } },
    },
    answer: CONVERSATION,
  },
  {
    ...remove,
    path: '/v1/conversations/{id}',
    operationId: 'conversations.delete',
    summary: 'Forgets a conversation and its items',
    answer: deleted('conversation.deleted'),
  },
  {
    ...read,
    path: '/v1/conversations/{id}/items',
    operationId: 'conversations.items.list',
    summary: 'The items of a conversation, in pages',
    query: PAGE,
    answer: ITEMS,
  },
  {
    ...write,
    path: '/v1/conversations/{id}/items',
    operationId: 'conversations.items.create',
    summary: 'Adds items to a conversation. They are judged when a call uses them',
    query: INCLUDE,
    request: { accepts: ACCEPTS, schema: body({ items: addedItems(1) }, 'items'), sample: { items: [sampleItem] } },
    answer: ITEMS,
  },
  {
    ...read,
    path: '/v1/conversations/{id}/items/{itemId}',
    operationId: 'conversations.items.retrieve',
    summary: 'One item of a conversation',
    query: INCLUDE,
    answer: ITEM,
  },
  {
    ...remove,
    path: '/v1/conversations/{id}/items/{itemId}',
    operationId: 'conversations.items.delete',
    summary: 'Takes an item out of a conversation, and answers with the conversation',
    answer: CONVERSATION,
  },
];
