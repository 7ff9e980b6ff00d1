import { z } from 'zod';
import { moderationPolicySchema } from '#libs/contracts/policy.js';
import { checkDecisionSchema, directionSchema } from '#libs/contracts/audit.js';
import { ACT_KINDS } from '../domain/audit.chain.js';
import { moment, requiredText, slug, text } from './field.schemas.js';
import { listSchema } from './list.schemas.js';

const DECISIONS = checkDecisionSchema.options.join('|');

const filters = {
  key: text(100).optional(),
  campaign: slug.optional(),
  visitor: text(100).optional(),
  request: text(100).optional(),
  direction: directionSchema.optional(),
  /** One or several, with commas between them. */
  decision: z
    .string()
    .transform((names) => names.split(','))
    .pipe(z.array(checkDecisionSchema))
    .meta({ pattern: `^(${DECISIONS})(,(${DECISIONS}))*$` })
    .optional(),
  guard: text(100).optional(),
  category: text(100).optional(),
  policy_version: text(16).optional(),
  since: moment.optional(),
  until: moment.optional(),
};
export type CheckFilters = z.output<z.ZodObject<typeof filters>>;

export const listChecksSchema = z.strictObject({ ...listSchema.shape, ...filters });
export type ListChecks = z.output<typeof listChecksSchema>;

/** The filters alone. */
export const countChecksSchema = z.strictObject(filters);

const format = z.enum(['jsonl', 'csv']).default('jsonl');
export const exportChecksSchema = z.strictObject({ ...filters, format });
export type ExportChecks = z.output<typeof exportChecksSchema>;

/** Calls, newest first. `endpoint`: the name of an API, also of one that this version does not serve. `decision`: calls with a check that decided so. */
const requestFilters = {
  campaign: slug.optional(),
  key: text(100).optional(),
  visitor: text(100).optional(),
  endpoint: text(100).optional(),
  model: text(200).optional(),
  decision: filters.decision,
  /** Blocked and flagged calls that a person has seen, or has not. */
  reviewed: z
    .enum(['true', 'false'])
    .transform((given) => given === 'true')
    .optional(),
  since: moment.optional(),
  until: moment.optional(),
};
export type FilterRequests = z.output<z.ZodObject<typeof requestFilters>>;
export const listRequestsSchema = z.strictObject({ ...listSchema.shape, ...requestFilters });
export type ListRequests = z.output<typeof listRequestsSchema>;

export const exportRequestsSchema = z.strictObject({ ...requestFilters, format });
export type ExportRequests = z.output<typeof exportRequestsSchema>;

/** The calls beside one within the same filter. */
export const aroundSchema = z.strictObject(requestFilters);

/** What people and Daypass did, newest first. */
const actFilters = {
  /** A key, a visitor, a campaign's id or a call's. */
  subject: text(100).optional(),
  actor: text(100).optional(),
  act: z.enum(ACT_KINDS).optional(),
  since: moment.optional(),
  until: moment.optional(),
};
export type FilterActs = z.output<z.ZodObject<typeof actFilters>>;
export const listActsSchema = z.strictObject({ ...listSchema.shape, ...actFilters });
export type ListActs = z.output<typeof listActsSchema>;
export const exportActsSchema = z.strictObject({ ...actFilters, format });
export type ExportActs = z.output<typeof exportActsSchema>;

/** A file about a period: from `since` on, before `until`. */
const period = { since: moment.optional(), until: moment.optional(), format };
export type Period = z.output<z.ZodObject<typeof period>>;
/** The ledger's movements of a period, by campaign or by key. */
export const exportStatementSchema = z.strictObject({ ...period, by: z.enum(['campaign', 'key']).default('campaign') });
export type ExportStatement = z.output<typeof exportStatementSchema>;
/** A policy has no end, so that one of before a period may hold in it: there is no `since`. */
export const exportPoliciesSchema = z.strictObject({ until: moment.optional(), format });
export type ExportPolicies = z.output<typeof exportPoliciesSchema>;

/** Why somebody reads what a visitor asked. The record keeps it. */
export const openSchema = z.strictObject({ reason: requiredText(1_000).optional() });
export type Open = z.output<typeof openSchema>;

/** The reason. The record keeps it. */
export const eraseSchema = z.strictObject({ note: requiredText(1_000).optional() });
export type Erase = z.output<typeof eraseSchema>;

const REPLAY_DAYS_MAX = 30;
/** Thresholds of a campaign's policy, and the days of its record that they are tried on. */
export const replaySchema = z.strictObject({
  thresholds: moderationPolicySchema.shape.thresholds.unwrap(),
  campaign: slug,
  days: z.number().int().min(1).max(REPLAY_DAYS_MAX).default(REPLAY_DAYS_MAX),
});
export type AskReplay = z.output<typeof replaySchema>;
