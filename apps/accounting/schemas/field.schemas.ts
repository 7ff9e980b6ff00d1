import { z } from 'zod';
import { MODERATION_CATEGORIES, moderationPolicySchema } from '#libs/contracts/policy.js';
import { keyLimitsSchema } from '#libs/contracts/key-state.js';
import { isRedirectPattern } from '#libs/contracts/redirect-uris.js';
import { formatUsd, MAX_AMOUNT_NANO, parseUsd } from '#libs/money/nano.js';

const USD_FAULTS: [RegExp, string][] = [
  [/^-/, 'must not be negative'],
  [/^[\d.]+e[+-]?\d+$/i, 'must not have an exponent'],
  [/^\d{19,}(\.\d*)?$/, `must not have more than 18 digits, nor be more than ${formatUsd(MAX_AMOUNT_NANO)} dollars`],
  [/^\d+\.\d{10,}$/, 'must not have more than nine decimals'],
];

/** MAX_AMOUNT_NANO as a pattern for the docs, with the zeros that may stand before it. */
const AMOUNT = '0{0,11}(([0-8]\\d{6}|\\d{1,6})(\\.\\d{1,9})?|9000000(\\.0{1,9})?)';

const TTL_SECONDS_MAX = 10 * 366 * 86_400;

/** Dollars as a decimal string, parsed to nano-dollars. A JSON number would have lost digits before parsing. */
export const usd = z
  .string({ error: 'must be a decimal string such as "2.50"' })
  .meta({
    description: 'Dollars as a decimal string, at most nine decimals',
    example: '2.50',
    pattern: `^${AMOUNT}$`,
  })
  .transform((text, context) => {
    try {
      return parseUsd(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: usdFault(text, error) });
      return z.NEVER;
    }
  });

/** Puts the particular fault before the general rule. */
function usdFault(text: string, error: unknown): string {
  const wrong = USD_FAULTS.find(([pattern]) => pattern.test(text))?.[1];
  const right = error instanceof Error ? error.message : 'not an amount';
  return wrong === undefined ? right : `${wrong}; ${right}`;
}

export const positiveUsd = usd
  .refine((nano) => nano > 0n, 'must be more than 0')
  .meta({
    description: 'Dollars as a decimal string, more than 0',
    example: '2.50',
    pattern: `^(?!0*(\\.0*)?$)${AMOUNT}$`,
  });

/** Control characters by their numbers: not every reader of the docs knows `\p{Cc}`. */
// oxlint-disable-next-line no-control-regex
const PRINTABLE = /^[^\u0000-\u001f\u007f-\u009f]*$/;
// oxlint-disable-next-line no-control-regex
const PRINTABLE_NOT_BLANK = /^(?!\s*$)[^\u0000-\u001f\u007f-\u009f]*$/;

/** Half of a surrogate pair is no character: Postgres would store another one. */
const wellFormed = (most: number) =>
  z
    .string()
    .max(most)
    .refine((given) => given.isWellFormed(), 'must not have half of a surrogate pair');

export const text = (most: number) => wellFormed(most).regex(PRINTABLE, 'must not have control characters').trim();
export const requiredText = (most: number) =>
  wellFormed(most).regex(PRINTABLE_NOT_BLANK, 'must have a visible character, and no control characters').trim();

export const slug = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'must be 1 to 63 small letters, digits and dashes, with no dash at either end',
  );

export const models = z
  .array(z.string().regex(/^[\x21-\x7e]{1,200}$/, 'must be the name of a model'))
  .min(1, 'must name at least one model')
  .max(500)
  .transform((names) => [...new Set(names)]);

/** A time with its zone. Postgres stores no year 0, and JavaScript writes years from 10000 on in a way of its own. */
export const moment = z.iso
  .datetime({ offset: true, error: 'must be a time such as 2026-11-23T12:00:00Z' })
  .refine((text) => !text.startsWith('0000'), 'must not lie before the year 1')
  .transform((text) => new Date(text));

export const ttlSeconds = z.number().int().min(1).max(TTL_SECONDS_MAX);

/** When a key's time begins: when somebody makes it (or at its `starts_at`), or with its first call. */
export const ttlFrom = z.enum(['creation', 'first_use']);

/** A campaign's keys' share of turns in a full lane, beside keys of weight 1. */
export const weight = z.number().min(0.01).max(100);

/** The record keeps contents for so many days; null: for ever. */
export const retentionDays = z.number().int().min(1).max(36_500);

const { rpm, tpm, concurrent, bytes_per_hour } = keyLimitsSchema.shape;
/** 0: unlimited, or for `concurrent` and `bytes_per_hour` the operator's default. Absent: the campaign's default. */
export const limits = z.strictObject({
  rpm: rpm.unwrap().optional(),
  tpm: tpm.unwrap().optional(),
  concurrent: concurrent.unwrap().optional(),
  bytes_per_hour: bytes_per_hour.unwrap().optional(),
});

export const campaignModeration = moderationPolicySchema;

const policy = moderationPolicySchema.shape;
/** The fields that a key tightens. The campaign's policy has the others. */
export const keyModeration = z.strictObject({
  input: policy.input.unwrap().optional(),
  output: policy.output.unwrap().optional(),
  thresholds: z.partialRecord(z.enum(MODERATION_CATEGORIES), z.number().min(0).max(1)).optional(),
  on_unavailable: policy.on_unavailable.unwrap().optional(),
  images: policy.images,
  shelf: policy.shelf,
  guards: policy.guards,
  strikes: policy.strikes,
});

export const origins = z
  .array(z.string().max(300).refine(isOrigin, 'must be an origin such as "https://example.org"'))
  .max(100);

const REDIRECT_URI = 'must be an address such as "https://app.example.org/start", or "http://localhost:*" for any port';
/** Where apps get the one-time codes for their visitors' keys. */
export const redirectUris = z.array(z.string().max(500).refine(isRedirectPattern, REDIRECT_URI)).max(20).meta({
  description: 'Apps may get a key of the link at these addresses, compared whole; "http://localhost:*" is any port',
});

function isOrigin(value: string): boolean {
  return URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && new URL(value).origin === value;
}
