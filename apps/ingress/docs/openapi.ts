import { markdownTable } from '#libs/config/markdown-table.js';
import { ERRORS, type ErrorCode } from '#libs/contracts/errors.js';
import { HELP, type Help } from '#libs/contracts/help.js';
import type { JsonSchema } from '#libs/endpoints/json.schema.js';
import { ANSWER_HEADERS } from '../domain/answer-headers.js';
import { NOT_OFFERED } from '../domain/not-offered.js';
import type { VisitorRoute } from '../visitor.route.js';

type Json = Record<string, unknown>;

const TAGS: Readonly<Record<VisitorRoute['about'], { name: string; description: string }>> = {
  call: { name: 'Calls', description: 'They cost money. A hold is taken before each.' },
  stored: {
    name: 'Stored',
    description: 'Responses and conversations that Daypass keeps for your key alone. They cost nothing.',
  },
  key: { name: 'Key and models', description: 'They cost nothing.' },
  claim: { name: 'Claim links', description: 'They need no key: they give one out.' },
};
/** Headers that an answer has only where it is one to a call. */
const OF_CALLS = /^(x-daypass-|idempotent-replayed)/;
const OF_ERRORS = ['x-should-retry', 'retry-after', 'retry-after-ms'];

const REQUEST_HEADERS: readonly Json[] = [
  header('x-daypass-max-wait-ms', 'How long the call may wait, in milliseconds; 30000 without it', {
    type: 'integer',
    minimum: 0,
    maximum: 600_000,
  }),
  header('x-daypass-moderate-input', 'Asks for more moderation than the campaign sets', {
    type: 'string',
    enum: ['true', 'false'],
  }),
  header('x-daypass-moderate-output', 'Asks for more moderation than the campaign sets', {
    type: 'string',
    enum: ['true', 'false'],
  }),
  header('Idempotency-Key', 'Makes the call at most once in 24 hours', {
    type: 'string',
    minLength: 1,
    maxLength: 255,
    pattern: '^[ -~]+$',
  }),
  header('X-Client-Request-Id', "Your own name for the call, for the operator's log", {
    type: 'string',
    minLength: 1,
    maxLength: 128,
    pattern: '^[ -~]+$',
  }),
];

const CLAIM_NAME: Json = {
  ...header('Idempotency-Key', 'At random. A repeat under the same one gets the same key for ten minutes', {
    type: 'string',
    minLength: 22,
    maxLength: 255,
    pattern: '^[ -~]+$',
  }),
  required: true,
};

/** What `error.daypass` may say, each with the codes that say it. */
function detailsOf(help: Readonly<Record<string, Help>>): Record<string, JsonSchema> {
  const found = new Map<string, string[]>();
  for (const [code, { details = {} }] of Object.entries(help))
    for (const [name, words] of Object.entries(details))
      found.set(name, [...(found.get(name) ?? []), `With \`${code}\`: ${words}`]);
  return Object.fromEntries(
    [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, words]) => [name, { description: words.join('\n') }]),
  );
}

const LOCATION: Json = { description: 'Where the browser goes', schema: { type: 'string' } };

const ERROR: JsonSchema = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        message: { type: 'string' },
        type: { enum: [...new Set(Object.values(ERRORS).map(({ type }) => type))] },
        param: { type: ['string', 'null'], description: 'The field that is at fault' },
        code: { type: ['string', 'null'], description: "One of the catalogue, or an upstream's own" },
        daypass: {
          type: 'object',
          properties: {
            help: { type: 'string', format: 'uri', description: 'The page that explains the code' },
            ...detailsOf(HELP),
          },
          required: ['help'],
        },
      },
      required: ['message', 'type', 'param', 'code', 'daypass'],
    },
  },
  required: ['error'],
};

/** What visitors can ask for, as OpenAPI 3.1. */
export function describeVisitorsApi(routes: readonly VisitorRoute[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  return {
    openapi: '3.1.0',
    info: { title: 'Daypass', version: '1', description: descriptionOf() },
    // A key stands in one of these.
    security: [{ bearer: [] }, { 'api-key': [] }, { 'x-api-key': [] }],
    tags: Object.values(TAGS),
    paths,
    components: {
      schemas: { Error: ERROR },
      headers: Object.fromEntries(
        Object.entries(ANSWER_HEADERS).map(([name, description]) => [
          name,
          { description, schema: { type: 'string' } },
        ]),
      ),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A virtual key: dp_…' },
        'api-key': { type: 'apiKey', in: 'header', name: 'api-key' },
        'x-api-key': { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
    },
    'x-daypass-not-offered': NOT_OFFERED,
  };
}

function operationOf({
  operationId,
  summary,
  path,
  query = {},
  request,
  answer,
  answers = [],
  streams,
  about,
  status = 200,
  errors,
}: VisitorRoute): Json {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: { type: 'string' } },
  }));
  const inQuery = Object.entries(query).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
  const isCall = about === 'call';
  const names = Object.keys(ANSWER_HEADERS).filter(
    (name) => !OF_ERRORS.includes(name) && (isCall || !OF_CALLS.test(name)),
  );
  return {
    operationId,
    summary,
    tags: [TAGS[about].name],
    ...(about === 'claim' ? { security: [] } : {}),
    parameters: [
      ...inPath,
      ...inQuery,
      ...(isCall ? REQUEST_HEADERS : []),
      ...(about === 'claim' && status === 201 ? [CLAIM_NAME] : []),
    ],
    ...(request
      ? {
          requestBody: {
            required: !request.isOptional,
            description: request.accepts.includes('multipart/form-data')
              ? 'A form. Its texts are in UTF-8, and a field without a value counts as absent.'
              : 'JSON in UTF-8, without compression. `null` counts as absent.',
            content: Object.fromEntries(
              request.accepts.map((type) => [type, { schema: request.schema, example: request.sample }]),
            ),
          },
        }
      : {}),
    responses: {
      [status]: {
        description: streams ? 'The answer, or a stream of events where the request asks for one' : 'The answer',
        headers: { ...refs(names), ...(status === 302 ? { location: LOCATION } : {}) },
        content:
          status === 302
            ? {}
            : {
                'application/json': { schema: answer },
                ...Object.fromEntries(answers.map((type) => [type, { schema: { type: 'string' } }])),
                ...(streams
                  ? { 'text/event-stream': { schema: { type: 'string', description: "Events of OpenAI's form" } } }
                  : {}),
              },
      },
      ...errorsOf(errors),
    },
  };
}

function errorsOf(codes: readonly ErrorCode[]): Json {
  const statuses = [...new Set(codes.map((code) => ERRORS[code].status))].sort((one, other) => one - other);
  return Object.fromEntries(
    statuses.map((status) => {
      const words = codes
        .filter((code) => ERRORS[code].status === status)
        .map((code) => `- \`${code}\`${ERRORS[code].retry ? ' (try again)' : ''}: ${HELP[code].what}`);
      return [
        status,
        {
          description: words.join('\n'),
          headers: refs(['x-request-id', ...OF_ERRORS]),
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
        },
      ];
    }),
  );
}

const refs = (names: readonly string[]): Json =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));

function header(name: string, description: string, schema: JsonSchema): Json {
  return { name, in: 'header', required: false, description, schema };
}

function descriptionOf(): string {
  const rows = NOT_OFFERED.map(({ paths, why, instead }) => [
    paths.map((path) => `\`${path}\``).join(', '),
    why,
    instead,
  ]);
  return `OpenAI's API, for a virtual key. Set the base URL of any OpenAI client to this address with \`/v1\` at its end, and the API key to
your \`dp_…\` key. Whatever a request holds beyond these schemas is refused by name.

<details><summary>What is not offered, and what to use instead</summary>

These addresses, and all below them, answer 404 \`endpoint_not_offered\`, without a key as well.

${markdownTable(['address', 'why not', 'what instead'], rows)}

Daypass takes no WebSockets: 426 \`websocket_not_supported\` at \`/v1/responses\`, and 404 elsewhere.

</details>`;
}
