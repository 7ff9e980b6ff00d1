import { jsonSchemaOf } from '#libs/endpoints/json.schema.js';
import { MODERATIONS_NAME, MODERATIONS_PATH } from '#libs/endpoints/moderations/moderations.request.js';
import { MODERATIONS_REQUEST } from '#libs/endpoints/moderations/request.declaration.js';
import { KEY_ERRORS, objectOf, type VisitorRoute } from '../visitor.route.js';

export const MODERATIONS_ROUTES: readonly VisitorRoute[] = [
  {
    method: 'POST',
    path: MODERATIONS_PATH,
    operationId: MODERATIONS_NAME,
    summary: "What the provider's moderation says of texts or of an image: free, and after all calls",
    request: {
      accepts: ['application/json'],
      schema: jsonSchemaOf(MODERATIONS_REQUEST, 'request'),
      sample: { input: 'Say hello' },
    },
    answer: objectOf({
      id: { type: 'string' },
      model: { type: 'string' },
      results: { type: 'array', items: { type: 'object' } },
    }),
    streams: false,
    about: 'call',
    errors: [
      ...KEY_ERRORS,
      'invalid_json',
      'key_suspended',
      'model_not_found',
      'moderation_unavailable',
      'overloaded',
      'paused',
      'rate_limit_exceeded',
      'request_too_large',
      'unknown_parameter',
      'unsupported_content_type',
    ],
  },
];
