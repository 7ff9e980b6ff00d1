import { z } from 'zod';
import { keyModeration, limits, models, requiredText, slug, text, ttlSeconds, usd } from './field.schemas.js';

const terms = {
  label: text(200).default(''),
  budget_usd: usd.optional(),
  ttl_seconds: ttlSeconds.optional(),
  models: models.nullable().optional(),
  limits: limits.optional(),
  moderation: keyModeration.nullable().optional(),
};

export const createKeySchema = z.strictObject({ campaign: slug, ...terms });
export type CreateKey = z.output<typeof createKeySchema>;

export const createBatchSchema = z.strictObject({
  campaign: slug,
  ...terms,
  count: z.number().int().min(1).max(1_000),
});
export type CreateBatch = z.output<typeof createBatchSchema>;

export const changeKeySchema = z
  .strictObject({
    label: text(200).optional(),
    budget_usd: usd.optional(),
    ttl_seconds: ttlSeconds.nullable().optional(),
    expires_at: z.iso
      .datetime({ offset: true })
      .transform((at) => new Date(at))
      .nullable()
      .optional(),
    limits: limits.optional(),
    models: models.nullable().optional(),
    moderation: keyModeration.nullable().optional(),
  })
  .refine((change) => change.ttl_seconds === undefined || change.expires_at === undefined, {
    path: ['expires_at'],
    message: 'give either ttl_seconds or expires_at',
  });
export type ChangeKey = z.output<typeof changeKeySchema>;

/** The reason, for people who read the key later. */
export const noteSchema = z.strictObject({ note: requiredText(1_000).optional() });
export type Note = z.output<typeof noteSchema>;

export const noFieldsSchema = z.strictObject({});
