import { heldCallsSchema } from '#libs/contracts/claims.js';
import type { ErrorCode } from '#libs/contracts/errors.js';
import type { JsonSchema } from '#libs/endpoints/json.schema.js';
import { jsonSchemaOfForm, KEY_ERRORS, objectOf, type VisitorRoute } from '../visitor.route.js';
import { CALLS_PAGE_DEFAULT, CALLS_PAGE_MAX } from './calls.page.js';

const DESK_ERRORS: readonly ErrorCode[] = [...KEY_ERRORS, 'rate_limit_exceeded', 'overloaded'];
const POST_ERRORS: readonly ErrorCode[] = [
  ...DESK_ERRORS,
  'invalid_json',
  'request_too_large',
  'unsupported_content_type',
];
const open: JsonSchema = { type: 'object' };

/** What the holder of a key asks of accounting. */
export const KEY_ROUTES: readonly VisitorRoute[] = [
  {
    method: 'GET',
    path: '/v1/key/calls',
    operationId: 'key.calls',
    summary: 'The calls of the key, newest first, without their contents',
    query: {
      cursor: { type: 'string', description: "The 'next_cursor' of the page before" },
      limit: { type: 'integer', minimum: 1, maximum: CALLS_PAGE_MAX, default: CALLS_PAGE_DEFAULT },
    },
    answer: jsonSchemaOfForm(heldCallsSchema),
    streams: false,
    about: 'key',
    errors: [...DESK_ERRORS, 'unknown_parameter'],
  },
  {
    method: 'POST',
    path: '/v1/key/rotate',
    operationId: 'key.rotate',
    summary: 'Replaces the key: the former one opens nothing any more. Budget, limits and calls stay',
    answer: objectOf({
      data: objectOf({ id: { type: 'string' }, key: { type: 'string' }, prefix: { type: 'string' } }),
    }),
    streams: false,
    about: 'key',
    errors: POST_ERRORS,
  },
  {
    method: 'POST',
    path: '/v1/key/revoke',
    operationId: 'key.revoke',
    summary: 'Ends the key for ever',
    answer: objectOf({ data: open }),
    streams: false,
    about: 'key',
    errors: POST_ERRORS,
  },
  {
    method: 'POST',
    path: '/v1/key/erase',
    operationId: 'key.erase',
    summary: 'Erases what the visitor asked and got, also after the end of the key',
    answer: objectOf({ data: open }),
    streams: false,
    about: 'key',
    errors: POST_ERRORS,
  },
];
