import { z } from 'zod';
import type { ErrorCode } from '#libs/contracts/errors.js';
import type { JsonSchema } from '#libs/endpoints/json.schema.js';

/** A route of visitors, as `/docs` shows it. */
export interface VisitorRoute {
  method: 'GET' | 'POST' | 'DELETE';
  /** `{id}` stands for a part that the visitor chooses. */
  path: string;
  /** One of its own for each route. */
  operationId: string;
  summary: string;
  /** Parameters of the query by name. Those of the path are strings. */
  query?: Readonly<Record<string, JsonSchema>>;
  request?: { accepts: readonly string[]; schema: JsonSchema; sample: unknown; isOptional?: boolean };
  answer: JsonSchema;
  /** What a whole answer may be beside JSON; absent: nothing. */
  answers?: readonly string[];
  /** It also answers as a stream of events. */
  streams: boolean;
  /** Of the answer; 200 without it. */
  status?: 200 | 201 | 202 | 302;
  /** `call`: it takes the headers of a call, and answers with those of one. `claim`: it needs no key. */
  about: 'call' | 'stored' | 'key' | 'claim';
  errors: readonly ErrorCode[];
}

/** Of every route that needs a key. */
export const KEY_ERRORS: readonly ErrorCode[] = [
  'invalid_request',
  'invalid_api_key',
  'origin_not_allowed',
  'headers_too_large',
  'request_timeout',
  'internal_error',
  'recovering',
];

/** Of a form that zod checks. */
export function jsonSchemaOfForm(form: z.ZodType): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(form, { unrepresentable: 'any' });
  return schema as JsonSchema;
}

/** An object of an answer. */
export const objectOf = (properties: Readonly<Record<string, JsonSchema>>, ...optional: string[]): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
