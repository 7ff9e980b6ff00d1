import { applyDecorators } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiBody,
  ApiCookieAuth,
  ApiHeader,
  ApiOperation,
  ApiQuery,
  ApiResponse,
  DocumentBuilder,
  SwaggerModule,
  type OpenAPIObject,
} from '@nestjs/swagger';
import type { INestApplication } from '@nestjs/common';
import { z } from 'zod';
import { Sessions } from '../console/sessions.js';
import { Unkept } from './idempotency.interceptor.js';

type JsonSchema = Record<string, unknown> & { properties?: Record<string, object>; required?: string[] };

/**
 * The docs show the schema that the pipe checks, whole in its place. A reference into the schema itself would lead
 * nowhere within the document.
 *
 * @throws on a schema that contains itself
 */
export const schemaOf = (schema: z.ZodType): JsonSchema =>
  z.toJSONSchema(schema, {
    io: 'input',
    target: 'openapi-3.0',
    unrepresentable: 'any',
    reused: 'inline',
    cycles: 'throw',
    override: ({ zodSchema, jsonSchema }) => nameKeys(zodSchema, jsonSchema),
  }) as JsonSchema;

/** A record over a closed list of keys: OpenAPI 3.0 cannot say which keys it has but by naming each. */
function nameKeys(schema: z.core.$ZodType, json: z.core.JSONSchema.BaseSchema): void {
  const { def } = schema._zod as { def: z.core.$ZodTypeDef & { keyType?: z.core.$ZodType } };
  if (def.type !== 'record' || !(def.keyType instanceof z.ZodEnum)) return;
  const { additionalProperties: value } = json;
  json.properties = Object.fromEntries(def.keyType.options.map((key) => [key, value ?? {}]));
  json.additionalProperties = false;
}

const ERROR = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: 'string', nullable: true },
        code: { type: 'string' },
        daypass: { type: 'object', description: 'Details: every faulty field, or the numbers that stand in the way' },
      },
    },
  },
};

const REASONS: Record<number, string> = {
  400: 'A field is wrong, missing or unknown; every fault is named',
  401: 'The admin token is missing or wrong, and there is no session',
  403: 'A page of another origin sent it, with the cookie of a session',
  404: 'There is no such thing',
  409: 'It contradicts what is: a taken slug, a closed campaign, a revoked key, a budget below what is used, an Idempotency-Key of another request',
  413: 'The body is too large',
  415: 'The body is not JSON',
  421: 'The host is none of the names of the console',
  429: 'Too many wrong tokens came from this address',
  503: 'A store does not answer; `not_projected`: the change is stored and comes into force by itself',
};

const IDEMPOTENCY_KEY = {
  name: 'idempotency-key',
  required: false,
  description:
    'A name of your own for this request. Repeated under it within 24 hours, it has its effect once and gets the first answer again, with ' +
    '`idempotent-replayed: true`. An error does not use it up.',
  schema: { type: 'string' as const, minLength: 1, maxLength: 255, pattern: '^[ -~]+$' },
};

const ACCESS = {
  operator: [ApiBearerAuth()],
  session: [ApiCookieAuth()],
  anybody: [],
};

interface Operation {
  summary: string;
  /** The description of a successful answer. */
  status?: 200 | 201 | 204;
  answer: string;
  /** What it answers as JSON. */
  shape?: z.ZodType;
  /** It answers a table under `accept: text/csv`. */
  csv?: boolean;
  body?: z.ZodType;
  query?: z.ZodType;
  /** It writes, also without a body. */
  writes?: boolean;
  /** It runs each time (`Unkept`). */
  unkept?: boolean;
  /** `operator`: whoever has the admin token, or a session of the console. `session`: a session alone. */
  access?: 'operator' | 'session' | 'anybody';
  errors?: (400 | 403 | 404 | 409 | 415 | 421 | 429)[];
}

/** One endpoint in the docs. One with a body writes. */
export function Documented({
  summary,
  status = 200,
  answer,
  shape,
  csv = false,
  body,
  query,
  unkept = false,
  access = 'operator',
  errors = [],
  writes = body !== undefined,
}: Operation): MethodDecorator {
  const parameters = query ? Object.entries(schemaOf(query).properties ?? {}) : [];
  return applyDecorators(
    ...ACCESS[access],
    ApiOperation({ summary }),
    ApiResponse({ status, description: answer, ...contentOf(shape, csv) }),
    ...[...new Set([...errors, ...(body ? [413, 415] : []), ...(writes ? [400, 409] : []), 401, 503])].map((code) =>
      ApiResponse({ status: code, description: REASONS[code]!, schema: ERROR }),
    ),
    ...(body ? [ApiBody({ schema: schemaOf(body), required: !body.safeParse({}).success })] : []),
    ...(writes && !unkept ? [ApiHeader(IDEMPOTENCY_KEY)] : []),
    ...(unkept ? [Unkept()] : []),
    ...parameters.map(([name, schema]) => ApiQuery({ name, required: false, schema })),
  );
}

function contentOf(shape: z.ZodType | undefined, csv: boolean) {
  if (shape === undefined) return {};
  const table = { 'text/csv': { schema: { type: 'string' as const } } };
  return { content: { 'application/json': { schema: schemaOf(shape) }, ...(csv ? table : {}) } };
}

export function describeApi(app: INestApplication): OpenAPIObject {
  const info = new DocumentBuilder()
    .setTitle('Daypass admin API')
    .setDescription('Campaigns, keys and the ledger. Money is a decimal string of dollars; unknown fields are refused.')
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'DAYPASS_ADMIN_TOKEN' })
    .addCookieAuth(app.get(Sessions).cookie, { type: 'apiKey', in: 'cookie', description: 'A session of the console' })
    .build();
  return SwaggerModule.createDocument(app, info);
}
