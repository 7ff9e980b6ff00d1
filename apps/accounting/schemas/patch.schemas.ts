import { z } from 'zod';

/**
 * The JSON merge patch (RFC 7396) of what a schema takes. A field that is absent stays. null removes a field, unless the
 * schema requires it. Whoever merges the patch validates the result with the schema itself.
 */
export function patchOf(schema: z.ZodType): z.ZodType<Record<string, unknown> | null | undefined> {
  return part(schema.optional()) as z.ZodType<Record<string, unknown> | null | undefined>;
}

function part(schema: z.ZodType): z.ZodType {
  const patch = removable(unwrapped(schema));
  return (isRequired(schema) ? patch : patch.nullable()).optional();
}

function removable(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodObject)
    return z.strictObject(
      Object.fromEntries(
        Object.entries(schema.shape as z.ZodRawShape).map(([name, field]) => [name, part(field as z.ZodType)]),
      ),
    );
  if (schema instanceof z.ZodRecord)
    return z.partialRecord(schema.keyType as z.ZodEnum, part((schema.valueType as z.ZodType).optional()));
  return schema;
}

/** What has to be there cannot be removed. */
function isRequired(schema: z.ZodType): boolean {
  return !(schema instanceof z.ZodDefault || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable);
}

/** Without its default: a patch that does not name a field keeps it. */
function unwrapped(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable
    ? unwrapped(schema.unwrap() as z.ZodType)
    : schema;
}
