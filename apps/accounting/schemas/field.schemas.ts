import { z } from 'zod';
import { MODERATION_CATEGORIES, moderationPolicySchema } from '#libs/contracts/policy.js';
import { keyLimitsSchema } from '#libs/contracts/key-state.js';
import { formatUsd, MAX_AMOUNT_NANO, parseUsd } from '#libs/money/nano.js';

const USD_FAULTS: [RegExp, string][] = [
  [/^-/, 'must not be negative'],
  [/^[\d.]+e[+-]?\d+$/i, 'must not have an exponent'],
  [/^\d{19,}(\.\d*)?$/, `must not have more than 18 digits, nor be more than ${formatUsd(MAX_AMOUNT_NANO)} dollars`],
  [/^\d+\.\d{10,}$/, 'must not have more than nine decimals'],
];

const TTL_SECONDS_MAX = 10 * 366 * 86_400;

/** Dollars as a decimal string, parsed to nano-dollars. A JSON number would have lost digits before parsing. */
export const usd = z
  .string({ error: 'must be a decimal string such as "2.50"' })
  .meta({ description: 'Dollars as a decimal string, at most nine decimals', example: '2.50' })
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

export const positiveUsd = usd.refine((nano) => nano > 0n, 'must be more than 0');

const printable = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^\P{Cc}*$/u, 'must not have control characters');

export const text = (most: number) => printable(most).trim();
export const requiredText = (most: number) => text(most).min(1);

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

export const ttlSeconds = z.number().int().min(1).max(TTL_SECONDS_MAX);

/** A campaign's keys' share of turns in a full lane, beside keys of weight 1. */
export const weight = z.number().min(0.01).max(100);

/** The record keeps contents for so many days; null: for ever. */
export const retentionDays = z.number().int().min(1).max(36_500);

const { rpm, tpm, concurrent } = keyLimitsSchema.shape;
/** 0 means unlimited. The campaign's default replaces a missing one. */
export const limits = z.strictObject({
  rpm: rpm.unwrap().optional(),
  tpm: tpm.unwrap().optional(),
  concurrent: concurrent.unwrap().optional(),
});

export const campaignModeration = moderationPolicySchema;

const policy = moderationPolicySchema.shape;
/** The fields that a key tightens. The campaign's policy has the others. */
export const keyModeration = z.strictObject({
  input: policy.input.unwrap().optional(),
  output: policy.output.unwrap().optional(),
  thresholds: z.partialRecord(z.enum(MODERATION_CATEGORIES), z.number().min(0).max(1)).optional(),
  on_unavailable: policy.on_unavailable.unwrap().optional(),
  guards: policy.guards,
  strikes: policy.strikes,
});

export const claim = z.record(z.string(), z.json());

export const origins = z
  .array(z.string().max(300).refine(isOrigin, 'must be an origin such as "https://example.org"'))
  .max(100);

function isOrigin(value: string): boolean {
  return URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && new URL(value).origin === value;
}
