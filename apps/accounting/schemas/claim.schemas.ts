import { z } from 'zod';
import { GATES, linkStatusSchema } from '#libs/contracts/claims.js';
import { formatUsd } from '#libs/money/nano.js';
import {
  limits,
  models,
  moment,
  origins,
  positiveUsd,
  redirectUris,
  requiredText,
  slug,
  text,
  ttlSeconds,
} from './field.schemas.js';
import { listSchema } from './list.schemas.js';

/** Codes that one request makes or voids. */
export const CODES_MAX = 1_000;
/** Mails that one request sends. */
const INVITED_MAX = 100;
const PER_IP_PER_DAY = 3;
const MAX_CLAIMS = 100;

const ACCOUNT_AGE_DAYS = 30;
/** Domains of addresses that one link may name. */
const DOMAINS_MAX = 50;

const gate = z.enum(GATES, {
  error:
    'must be "pow" (a proof of work, which the page does by itself), "code" (a one-time code), "github" (a sign-in there) or "email" (six digits that a mail brings)',
});
const gates = z.array(gate).length(1, 'must name exactly one gate: ["pow"], ["code"], ["github"] or ["email"]');
const github = z.strictObject({
  min_account_age_days: z
    .number()
    .int()
    .min(0)
    .max(7_300)
    .meta({ description: 'An account at GitHub must be so old, in days' }),
});
const email = z.strictObject({
  domains: z
    .array(
      z
        .string()
        .max(253)
        .regex(
          /^@?([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}$/,
          'must be a domain such as "example.org"; one with other letters in its ASCII form, "xn--…"',
        )
        .transform((domain) => domain.toLowerCase().replace(/^@/, '')),
    )
    .max(DOMAINS_MAX)
    .meta({ description: 'Only addresses of these domains may claim; none: every address' }),
});

const token = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
    'must be 3 to 63 small letters, digits and dashes, with no dash at either end; leave it out for a random one',
  );

/** What a link's keys get. A field that is absent has the value of the campaign's `key_defaults`. */
export const linkTermsSchema = z.strictObject({
  budget_usd: positiveUsd.transform((nano) => formatUsd(nano)).optional(),
  ttl_seconds: ttlSeconds.nullable().optional(),
  limits: limits.optional(),
  models: models.nullable().optional(),
});

const fields = {
  name: requiredText(100),
  gates,
  github,
  email,
  max_claims: z.number().int().min(1).max(100_000),
  starts_at: moment.nullable(),
  expires_at: moment.nullable(),
  per_ip_per_day: z
    .number()
    .int()
    .min(0)
    .max(1_000)
    .meta({ description: 'Claims that one address may make in a day; 0: no bound' }),
  origins,
  redirect_uris: redirectUris,
};
const IN_ORDER = { path: ['expires_at'], message: 'must lie after starts_at' };
const inOrder = ({
  starts_at,
  expires_at,
}: {
  starts_at?: Date | null | undefined;
  expires_at?: Date | null | undefined;
}) => !starts_at || !expires_at || starts_at < expires_at;

export const createLinkSchema = z
  .strictObject({
    ...fields,
    token: token.optional(),
    status: z.enum(['open', 'paused']).default('open'),
    gates: fields.gates.default(['pow']),
    github: fields.github.default({ min_account_age_days: ACCOUNT_AGE_DAYS }),
    email: fields.email.default({ domains: [] }),
    key: linkTermsSchema.default({}),
    max_claims: fields.max_claims.default(MAX_CLAIMS),
    starts_at: fields.starts_at.default(null),
    expires_at: fields.expires_at.default(null),
    per_ip_per_day: fields.per_ip_per_day.default(PER_IP_PER_DAY),
    origins: fields.origins.default([]),
    redirect_uris: fields.redirect_uris.default([]),
  })
  .refine(inOrder, IN_ORDER);
export type CreateLink = z.output<typeof createLinkSchema>;

/** What it does not name stays, also within `key` and its limits. The token always stays: it is printed on cards. */
export const changeLinkSchema = z
  .strictObject({
    name: fields.name.optional(),
    status: linkStatusSchema.optional(),
    gates: fields.gates.optional(),
    github: fields.github.optional(),
    email: fields.email.optional(),
    key: linkTermsSchema.optional(),
    max_claims: fields.max_claims.optional(),
    starts_at: fields.starts_at.optional(),
    expires_at: fields.expires_at.optional(),
    per_ip_per_day: fields.per_ip_per_day.optional(),
    origins: fields.origins.optional(),
    redirect_uris: fields.redirect_uris.optional(),
  })
  .refine(inOrder, IN_ORDER);
export type ChangeLink = z.output<typeof changeLinkSchema>;

/** It takes nothing yet. */
export const testLinkSchema = z.strictObject({});

/** `labels` makes a code for each label, which names the claimant; `count` codes are for anybody. */
export const createCodesSchema = z
  .strictObject({
    count: z.number().int().min(1).max(CODES_MAX).optional(),
    labels: z.array(text(200)).min(1).max(CODES_MAX).optional(),
    expires_at: moment.nullable().default(null),
  })
  .superRefine(({ labels, count }, context) => {
    const fault = (message: string) => context.addIssue({ code: 'custom', path: ['count'], message });
    if (labels === undefined && count === undefined) fault('is required without labels');
    if (labels !== undefined && count !== undefined && count !== labels.length)
      fault(`must be the number of labels, ${labels.length}; or leave it out`);
  })
  .meta({ anyOf: [{ required: ['count'] }, { required: ['labels'] }] });
export type CreateCodes = z.output<typeof createCodesSchema>;

const UNUSED_ONLY = 'must be true: a used code cannot be voided';

/** These codes, or all codes of a link that nobody used. */
export const voidCodesSchema = z
  .strictObject({
    ids: z.array(text(100)).min(1).max(CODES_MAX).optional(),
    link: text(100).optional(),
    unused: z.literal(true, { error: UNUSED_ONLY }).optional(),
  })
  .superRefine(({ ids, link, unused }, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if ((ids === undefined) === (link === undefined)) fault('ids', 'give either ids, or link with "unused": true');
    if (link !== undefined && unused === undefined) fault('unused', UNUSED_ONLY);
    if (ids !== undefined && unused !== undefined) fault('unused', 'goes with link, not with ids');
  })
  .meta({
    oneOf: [
      { required: ['ids'], not: { anyOf: [{ required: ['link'] }, { required: ['unused'] }] } },
      { required: ['link', 'unused'], not: { required: ['ids'] } },
    ],
  });
export type VoidCodes = z.output<typeof voidCodesSchema>;

export const listWaitlistSchema = z.strictObject({
  ...listSchema.shape,
  campaign: slug.optional(),
  /** Those whom nobody invited yet. */
  waiting: z
    .literal('true')
    .transform(() => true)
    .optional(),
});
export type ListWaitlist = z.output<typeof listWaitlistSchema>;

/** `count` invites those who wait longest. The code in the mail is of `link`. */
export const inviteSchema = z
  .strictObject({
    link: text(100).meta({ description: 'A link with the gate "code", of the campaign that they wait for' }),
    count: z.number().int().min(1).max(INVITED_MAX).optional(),
    ids: z.array(text(100)).min(1).max(INVITED_MAX).optional(),
    expires_at: moment.nullable().default(null),
  })
  .refine(({ count, ids }) => (count === undefined) !== (ids === undefined), {
    path: ['count'],
    message: 'give either count or ids',
  })
  .meta({
    oneOf: [
      { required: ['count'], not: { required: ['ids'] } },
      { required: ['ids'], not: { required: ['count'] } },
    ],
  });
export type Invite = z.output<typeof inviteSchema>;

export const listClaimsSchema = z.strictObject({
  ...listSchema.shape,
  campaign: slug.optional(),
  link: text(100).optional(),
  claimant: text(100).optional(),
  since: moment.optional(),
});
export type ListClaims = z.output<typeof listClaimsSchema>;
