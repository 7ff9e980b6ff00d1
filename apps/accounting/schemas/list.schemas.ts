import { z } from 'zod';
import { readCursor, readRank } from '../domain/cursor.js';
import { requiredText, slug, text } from './field.schemas.js';

const CURSOR_MAX_CHARACTERS = 500;
const NO_CURSOR = 'is not a cursor that this list gave out';

const LIMIT_MAX = 200;
const LIMIT = 50;

/** A number's usual digits only: `+5`, `5.0` and `0x5` are no number in the docs either. */
const limit = z
  .string()
  .regex(/^[1-9]\d{0,2}$/, `must be a whole number from 1 to ${LIMIT_MAX}`)
  .transform(Number)
  .refine((rows) => rows <= LIMIT_MAX, `must be a whole number from 1 to ${LIMIT_MAX}`)
  .meta({ type: 'integer', minimum: 1, maximum: LIMIT_MAX, pattern: undefined })
  .default(LIMIT);
const page = {
  cursor: z
    .string()
    .max(CURSOR_MAX_CHARACTERS)
    .transform((given, context) => {
      const cursor = readCursor(given);
      if (cursor) return cursor;
      context.addIssue({ code: 'custom', message: NO_CURSOR });
      return z.NEVER;
    })
    .optional(),
  limit,
};

export const listSchema = z.strictObject(page);
export type List = z.output<typeof listSchema>;

export const listKeysSchema = z
  .strictObject({
    cursor: z.string().max(CURSOR_MAX_CHARACTERS).optional(),
    limit,
    campaign: slug.optional(),
    status: z.enum(['active', 'suspended', 'revoked', 'expired']).optional(),
    label: text(200).optional(),
    /** Who claimed it (`vis_…`), and the claim link that it came from. */
    claimant: text(100).optional(),
    link: text(100).optional(),
    /** Keys with strikes since a person reinstated them last. */
    flagged: z
      .literal('true')
      .transform(() => true)
      .optional(),
    /** The begin of the visible prefix, or a part of the label. */
    q: requiredText(200).optional(),
    /** Newest first without it. */
    sort: z.enum(['-spent', '-last_call']).optional(),
  })
  .transform(({ cursor, sort, ...filters }, context) => {
    // A list's cursor has what the list is sorted by.
    const after = cursor === undefined || sort !== undefined ? undefined : readCursor(cursor);
    const rank = cursor === undefined || sort === undefined ? undefined : readRank(cursor, sort);
    if (after === null || rank === null) {
      context.addIssue({ code: 'custom', path: ['cursor'], message: NO_CURSOR });
      return z.NEVER;
    }
    return { ...filters, ...(after ? { cursor: after } : {}), ...(rank ? { rank } : {}), ...(sort ? { sort } : {}) };
  });
export type ListKeys = z.output<typeof listKeysSchema>;

export const listVisitorsSchema = z
  .strictObject({
    cursor: z.string().max(CURSOR_MAX_CHARACTERS).optional(),
    limit,
    sort: z.enum(['flagged', 'share', 'spent']).default('flagged'),
  })
  .transform(({ cursor, sort, ...rest }, context) => {
    const rank = cursor === undefined ? undefined : readRank(cursor, sort);
    if (rank === null) {
      context.addIssue({ code: 'custom', path: ['cursor'], message: NO_CURSOR });
      return z.NEVER;
    }
    return { ...rest, sort, rank };
  });
export type ListVisitors = z.output<typeof listVisitorsSchema>;
