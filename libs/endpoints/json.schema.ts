import type { Shape } from './declaration.js';
import { OPAQUE_MAX, patternOf } from './leaf.js';
import { FILE } from './text.file.js';
import { describe } from './refusals.js';

/** JSON Schema 2020-12, as OpenAPI 3.1 has it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * `request`: what is let in, and nothing else; `null` is absent there, and no schema says so. `answer`: what is known
 * of an answer, where each value may be `null` and other fields may stand beside it.
 */
type Side = 'request' | 'answer';

/** A declaration as readers and tools of OpenAPI know it. A rule that JSON Schema has no word for is in `description`. */
export function jsonSchemaOf(shape: Shape, side: Side): JsonSchema {
  switch (shape.kind) {
    case 'text':
      return { type: 'string', ...(shape.most === undefined ? {} : { maxLength: shape.most }) };
    case 'encoded':
      return { type: 'string', description: 'JSON in a string' };
    case 'open':
      return { description: 'Of your own shape: keys and values are judged and counted' };
    case 'image':
      return { type: 'string', pattern: patternOf(shape), description: describe(shape) };
    case 'file':
      return { type: 'string', pattern: FILE.source, description: describe(shape) };
    case 'word':
      return {
        type: 'string',
        enum: shape.words,
        ...(shape.unpriceable ? { description: `The cost of ${shape.unpriceable} has no bound beyond these` } : {}),
      };
    case 'number':
      return { type: shape.whole ? 'integer' : 'number', ...rangeOf(shape) };
    case 'flag':
      return { type: 'boolean' };
    case 'name':
      // An answer's name of another form is text, and not refused.
      return { type: 'string', ...(shape.orText || side === 'answer' ? {} : { pattern: patternOf(shape) }) };
    case 'ours':
      return {
        ...jsonSchemaOf(shape.shape, side),
        description:
          side === 'request' ? 'Checked, but Daypass decides what it sends' : 'Daypass says it, and no upstream',
      };
    case 'harmless':
      return { description: 'Without effect here: Daypass leaves it out' };
    case 'opaque':
      return {
        type: 'string',
        pattern: patternOf(shape),
        maxLength: OPAQUE_MAX,
        description: 'As an answer had it: only its provider can read it',
      };
    case 'refused':
      return { ...(shape.butFalse ? { const: false } : { not: {} }), description: shape.why };
    case 'unpriceable':
      return { not: {}, description: `The cost of ${shape.what} has no bound: leave it out` };
    case 'object':
      return objectOf(shape, side);
    case 'list':
      return {
        type: 'array',
        items: valueOf(shape.item, side),
        ...(shape.least > 0 ? { minItems: shape.least } : {}),
        ...(shape.most < Number.MAX_SAFE_INTEGER ? { maxItems: shape.most } : {}),
      };
    case 'map':
      return {
        type: 'object',
        ...(side === 'request' ? { propertyNames: { pattern: shape.form.source } } : {}),
        additionalProperties: valueOf(shape.value, side),
        ...(shape.most < Number.MAX_SAFE_INTEGER ? { maxProperties: shape.most } : {}),
      };
    case 'variants':
      return variantsOf(shape, side);
    case 'either':
      return { anyOf: shape.of.map((one) => jsonSchemaOf(one, side)) };
  }
}

function objectOf({ fields, required }: Extract<Shape, { kind: 'object' }>, side: Side): JsonSchema {
  const properties = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueOf(field, side)]));
  if (side === 'answer') return { type: 'object', properties };
  return { type: 'object', properties, ...(required.length > 0 ? { required } : {}), additionalProperties: false };
}

function variantsOf({ by, of, absent }: Extract<Shape, { kind: 'variants' }>, side: Side): JsonSchema {
  const named = Object.entries(of).map(([word, one]) => variantOf(by, word, one, side));
  // What nobody knows is text of an answer.
  if (side === 'answer') return { anyOf: [...named, { title: `any other ${by}`, type: 'object' }] };
  return { oneOf: absent ? [...named, withoutWord(by, absent)] : named };
}

/** The word stands in the schema, also where the variant itself does not declare it. */
function variantOf(by: string, word: string, shape: Shape, side: Side): JsonSchema {
  const schema = jsonSchemaOf(shape, side);
  if ('not' in schema) return { title: word, ...schema };
  const { properties = {}, required = [] } = schema as { properties?: object; required?: readonly string[] };
  return {
    title: word,
    type: 'object',
    ...schema,
    properties: { ...properties, [by]: { const: word } },
    required: [...new Set([by, ...required])],
  };
}

/** What has no such field may be this. */
function withoutWord(by: string, shape: Shape): JsonSchema {
  const schema = jsonSchemaOf(shape, 'request');
  const properties = Object.entries((schema.properties ?? {}) as JsonSchema).filter(([name]) => name !== by);
  return { title: `without ${by}`, ...schema, properties: Object.fromEntries(properties) };
}

function valueOf(shape: Shape, side: Side): JsonSchema {
  const schema = jsonSchemaOf(shape, side);
  if (side === 'request') return schema;
  if (Array.isArray(schema.enum))
    return { ...schema, type: [schema.type, 'null'], enum: [...(schema.enum as []), null] };
  if (schema.type !== undefined) return { ...schema, type: [schema.type, 'null'] };
  const which = (['anyOf', 'oneOf'] as const).find((word) => word in schema);
  return which === undefined ? schema : { ...schema, [which]: [...(schema[which] as []), { type: 'null' }] };
}

function rangeOf({ least, most }: Extract<Shape, { kind: 'number' }>): JsonSchema {
  return {
    ...(least > Number.MIN_SAFE_INTEGER ? { minimum: least } : {}),
    ...(most < Number.MAX_SAFE_INTEGER ? { maximum: most } : {}),
  };
}
