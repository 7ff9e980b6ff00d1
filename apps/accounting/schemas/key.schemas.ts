import { z } from 'zod';
import {
  keyModeration,
  limits,
  models,
  moment,
  positiveUsd,
  requiredText,
  slug,
  text,
  ttlFrom,
  ttlSeconds,
  usd,
} from './field.schemas.js';
import { patchOf } from './patch.schemas.js';

/** Keys that one request makes or changes. */
export const KEYS_MAX = 1_000;

const terms = {
  label: text(200).default(''),
  budget_usd: usd.optional(),
  ttl_seconds: ttlSeconds.optional(),
  ttl_from: ttlFrom.optional(),
  starts_at: moment.optional(),
  models: models.nullable().optional(),
  limits: limits.optional(),
  moderation: keyModeration.nullable().optional(),
  /** What people call the holder. All keys with this name, in any campaign, are of one visitor. */
  claimant: requiredText(200).optional(),
};

export const createKeySchema = z.strictObject({ campaign: slug, ...terms });
export type CreateKey = z.output<typeof createKeySchema>;

/** `labels` makes a key for each label; `count` keys have the one `label`. */
export const createBatchSchema = z
  .strictObject({
    campaign: slug,
    ...terms,
    label: terms.label.unwrap().optional(),
    labels: z.array(terms.label.unwrap()).min(1).max(KEYS_MAX).optional(),
    count: z.number().int().min(1).max(KEYS_MAX).optional(),
  })
  .superRefine(({ label, labels, count }, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (labels === undefined && count === undefined) fault('count', 'is required without labels');
    if (labels !== undefined && label !== undefined) fault('label', 'give either label or labels');
    if (labels !== undefined && count !== undefined && count !== labels.length)
      fault('count', `must be the number of labels, ${labels.length}; or leave it out`);
  })
  .meta({ anyOf: [{ required: ['count'] }, { required: ['labels'] }], not: { required: ['label', 'labels'] } });
export type CreateBatch = z.output<typeof createBatchSchema>;

/**
 * A JSON merge patch: objects merge, and null removes a field. A key without models, limits or a policy of its own has
 * those of its campaign.
 */
export const changeKeySchema = z
  .strictObject({
    label: text(200).nullable().optional(),
    budget_usd: usd.optional(),
    ttl_seconds: ttlSeconds.nullable().optional(),
    expires_at: moment.nullable().optional(),
    starts_at: moment.nullable().optional(),
    limits: patchOf(limits),
    models: models.nullable().optional(),
    moderation: patchOf(keyModeration),
  })
  .refine((change) => change.ttl_seconds === undefined || change.expires_at === undefined, {
    path: ['expires_at'],
    message: 'give either ttl_seconds or expires_at',
  })
  .meta({ not: { required: ['ttl_seconds', 'expires_at'] } });
export type ChangeKey = z.output<typeof changeKeySchema>;

/** The reason, for people who read the key later. */
export const noteSchema = z.strictObject({ note: requiredText(1_000).optional() });
export type Note = z.output<typeof noteSchema>;

/** For the docs: what each act takes, on keys that this field names. */
function shapesOfBulk(which: string): object[] {
  const own = { extend: ['ttl_seconds'], fund: ['amount_usd'], suspend: [], reinstate: [], revoke: [] };
  const apart = ['ids', 'filter', ...Object.values(own).flat()];
  return Object.entries(own).map(([action, fields]) => {
    const required = ['action', which, ...fields];
    return {
      properties: { action: { type: 'string', enum: [action] } },
      required,
      not: { anyOf: apart.filter((name) => !required.includes(name)).map((name) => ({ required: [name] })) },
    };
  });
}

/** One act on many keys: on those with these ids, or on those that the filter finds. */
export const bulkSchema = z
  .strictObject({
    ids: z.array(text(100)).min(1).max(KEYS_MAX).optional(),
    filter: z
      .strictObject({
        campaign: slug.optional(),
        status: z.enum(['active', 'suspended', 'expired']).optional(),
        label: text(200).optional(),
        claimant: text(100).optional(),
        link: text(100).optional(),
        q: requiredText(200).optional(),
        note: requiredText(1_000)
          .optional()
          .meta({ description: 'The note of the act that gave the key its status, to the letter' }),
      })
      .refine((filter) => Object.values(filter).some((value) => value !== undefined), 'must name at least one field')
      .meta({ minProperties: 1 })
      .optional(),
    action: z.enum(['suspend', 'reinstate', 'revoke', 'extend', 'fund']),
    /** Of `extend`: seconds that each key gets beyond its end, or from now on where it is over. */
    ttl_seconds: ttlSeconds.optional(),
    /** Of `fund`: what each key gets more. */
    amount_usd: positiveUsd.optional(),
    note: requiredText(1_000).optional(),
    dry_run: z.boolean().default(false),
  })
  .refine(({ ids, filter }) => (ids === undefined) !== (filter === undefined), {
    path: ['ids'],
    message: 'give either ids or filter',
  })
  .superRefine(({ action, ttl_seconds, amount_usd }, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if ((action === 'extend') !== (ttl_seconds !== undefined))
      fault('ttl_seconds', action === 'extend' ? 'is required by extend' : 'belongs to extend only');
    if ((action === 'fund') !== (amount_usd !== undefined))
      fault('amount_usd', action === 'fund' ? 'is required by fund' : 'belongs to fund only');
  })
  .meta({ oneOf: ['ids', 'filter'].flatMap(shapesOfBulk) });
export type Bulk = z.output<typeof bulkSchema>;
