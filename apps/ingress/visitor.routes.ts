import type { ErrorCode } from '#libs/contracts/errors.js';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import { jsonSchemaOf, type JsonSchema } from '#libs/endpoints/json.schema.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { REFUSALS_MAX } from '#libs/holds/recent-refusals.js';
import { CLAIM_ROUTES } from './claims/claim.routes.js';
import { KEY_ROUTES } from './key/key.routes.js';
import { MODERATIONS_ROUTES } from './moderations/moderations.routes.js';
import { SHELF_ROUTES } from './shelf/shelf.routes.js';
import { KEY_ERRORS, objectOf, type VisitorRoute } from './visitor.route.js';

const SAMPLE_MODEL = 'gpt-5.4-mini';
const CALL_ERRORS: readonly ErrorCode[] = [
  ...KEY_ERRORS,
  'invalid_json',
  'moderation_blocked',
  'unknown_parameter',
  'unpriceable_request',
  'key_suspended',
  'model_not_found',
  'idempotency_conflict',
  'idempotency_in_progress',
  'request_too_large',
  'unsupported_content_type',
  'insufficient_quota',
  'rate_limit_exceeded',
  'queue_full',
  'upstream_error',
  'upstream_outcome_unknown',
  'moderation_unavailable',
  'upstream_unavailable',
  'paused',
  'overloaded',
];

const time: JsonSchema = { type: ['string', 'null'], format: 'date-time' };
const usd: JsonSchema = { type: 'string', description: 'Dollars, as a decimal string' };
const count: JsonSchema = { type: 'integer', minimum: 0 };
const MODEL = objectOf({
  id: { type: 'string' },
  object: { const: 'model' },
  created: { type: 'integer', description: 'Always 0: Daypass does not know it' },
  owned_by: { const: 'daypass' },
});

const KEY = objectOf(
  {
    id: { type: 'string' },
    label: { type: ['string', 'null'] },
    campaign: { type: 'string' },
    status: { enum: ['active', 'suspended', 'not_started', 'revoked', 'expired', 'campaign_closed'] },
    ...{ ended_at: time, suspended_until: time, starts_at: time, expires_at: time },
    ttl_seconds: { type: ['number', 'null'], description: 'Its time to live from its first call on' },
    ...{ budget_usd: usd, spent_usd: usd, held_usd: usd, available_usd: usd },
    campaign_available: { type: 'boolean', description: 'false: no call can begin' },
    limits: objectOf({
      ...{ rpm: count, tpm: count, concurrent: count, bytes_per_hour: count, body_bytes: count },
      output_tokens: objectOf({
        ...{ default: count, least: count },
        most: { type: 'object', additionalProperties: count, description: 'By model' },
      }),
    }),
    remaining: objectOf({
      requests: { type: ['integer', 'null'], description: 'null: no limit' },
      tokens: { type: ['integer', 'null'], description: 'null: no limit' },
    }),
    models: { type: 'array', items: { type: 'string' } },
    moderation: objectOf({
      input: { type: 'string' },
      output: { type: 'string' },
      stream_output: { type: 'string' },
      on_unavailable: { type: 'string' },
    }),
    retention_days: { type: ['integer', 'null'], description: 'null: for ever' },
    strikes: count,
    strikes_suspend_at: { type: ['integer', 'null'], description: 'So many strikes suspend the key; null: none do' },
    title: { type: ['string', 'null'], description: 'Of the project' },
    project_url: { type: ['string', 'null'] },
    contact: { type: ['string', 'null'] },
    recent_refusals: {
      type: 'array',
      maxItems: REFUSALS_MAX,
      items: objectOf({
        at: time,
        code: { type: 'string' },
        details: { type: 'object' },
        request_id: { type: 'string' },
      }),
      description: 'Why calls of the last 24 hours were refused, newest first',
    },
  },
  'retention_days',
);

/** What OpenAI's API does at the path of an API that Daypass serves. Another one has its name for a summary. */
const SUMMARIES: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'A chat, as one answer or as a stream',
  '/v1/responses': 'A response, as one answer or as a stream',
  '/v1/responses/compact': 'A conversation, made shorter for the next call',
  '/v1/embeddings': 'Vectors of texts',
  '/v1/audio/transcriptions': 'What is said in a file of sound, as one answer or as a stream',
  '/v1/audio/translations': 'What is said in a file of sound, in English',
  '/v1/audio/speech': 'Sound of a text, as one answer or as a stream',
  '/v1/images/edits': 'Images, changed',
  '/v1/images/generations': 'Images',
  '/v1/completions': 'What goes on after a text, as one answer or as a stream',
};

/** A request that names what Daypass keeps for its key. */
const NAMES_KEPT = ['previous_response_id', 'conversation'];

/** As OpenAPI 3.1 has a file of a form. */
function withFiles(schema: JsonSchema, files: readonly string[]): JsonSchema {
  if (files.length === 0) return schema;
  const file = { type: 'string', contentMediaType: 'application/octet-stream' };
  const { properties, required = [] } = schema as { properties: JsonSchema; required?: readonly string[] };
  const asFiles = Object.fromEntries(files.map((name) => [name, file]));
  return { ...schema, properties: { ...properties, ...asFiles }, required: [...new Set([...required, ...files])] };
}

function callOf(endpoint: Endpoint): VisitorRoute {
  const { name, path, accepts, files = [], answers = [], declarations } = endpoint;
  const fields = declarations.request.kind === 'object' ? Object.keys(declarations.request.fields) : [];
  return {
    method: 'POST',
    path,
    operationId: `${name}.create`,
    summary: SUMMARIES[path] ?? name,
    request: {
      accepts,
      schema: withFiles(jsonSchemaOf(declarations.request, 'request'), files),
      sample: {
        ...(endpoint.sample(SAMPLE_MODEL, 'Say hello') as object),
        ...Object.fromEntries(files.map((field) => [field, 'the bytes of a file'])),
      },
    },
    answer: jsonSchemaOf(declarations.answer, 'answer'),
    answers,
    streams: fields.includes('stream') || fields.includes('stream_format'),
    about: 'call',
    errors: fields.some((field) => NAMES_KEPT.includes(field))
      ? [...CALL_ERRORS, 'previous_response_not_found', 'not_found']
      : CALL_ERRORS,
  };
}

/** Every route that a visitor can ask for, with the form of what goes in and comes out. A test compares it with the router. */
export const VISITOR_ROUTES: readonly VisitorRoute[] = [
  ...ENDPOINTS.map(callOf),
  ...SHELF_ROUTES,
  ...MODERATIONS_ROUTES,
  {
    method: 'GET',
    path: '/v1/models',
    operationId: 'models.list',
    summary: 'The models that the key can call',
    answer: objectOf({ object: { const: 'list' }, data: { type: 'array', items: MODEL } }),
    streams: false,
    about: 'key',
    errors: KEY_ERRORS,
  },
  {
    method: 'GET',
    path: '/v1/models/{model}',
    operationId: 'models.retrieve',
    summary: 'One of these models',
    answer: MODEL,
    streams: false,
    about: 'key',
    errors: [...KEY_ERRORS, 'model_not_found'],
  },
  {
    method: 'GET',
    path: '/v1/key',
    operationId: 'key.retrieve',
    summary: 'The key: status, budget, limits, strikes, last refusals, also after its end',
    answer: objectOf({ data: KEY }),
    streams: false,
    about: 'key',
    errors: KEY_ERRORS,
  },
  ...KEY_ROUTES,
  ...CLAIM_ROUTES,
];
