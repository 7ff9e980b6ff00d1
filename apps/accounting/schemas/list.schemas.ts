import { z } from 'zod';
import { readCursor } from '../domain/cursor.js';
import { slug, text } from './field.schemas.js';

const page = {
  cursor: z
    .string()
    .max(500)
    .transform((given, context) => {
      const cursor = readCursor(given);
      if (cursor) return cursor;
      context.addIssue({ code: 'custom', message: 'is not a cursor that a list gave out' });
      return z.NEVER;
    })
    .optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
};

export const listSchema = z.strictObject(page);
export type List = z.output<typeof listSchema>;

export const listKeysSchema = z.strictObject({
  ...page,
  campaign: slug.optional(),
  status: z.enum(['active', 'suspended', 'revoked', 'expired']).optional(),
  label: text(200).optional(),
});
export type ListKeys = z.output<typeof listKeysSchema>;
