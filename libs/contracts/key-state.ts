import { z } from 'zod';
import { moderationPolicySchema } from './policy.js';

/** Of one tool's one use: kept as it was written, since nano-dollars have no place in JSON. */
const feeUsd = z
  .string({ error: 'must be a decimal string of dollars such as "0.01"' })
  .regex(
    /^\d{1,3}(\.\d{1,9})?$/,
    'must be a decimal string of dollars below 1000 such as "0.01", at most nine decimals',
  );

/** Limits of one key; 0 means unlimited. */
export const keyLimitsSchema = z.strictObject({
  rpm: z.number().int().min(0).max(1_000_000).default(0),
  tpm: z.number().int().min(0).max(1_000_000_000).default(0),
  concurrent: z.number().int().min(0).max(100_000).default(0),
});
export type KeyLimits = z.infer<typeof keyLimitsSchema>;

export const keyStatusSchema = z.enum(['active', 'suspended', 'revoked']);
export type KeyStatus = z.infer<typeof keyStatusSchema>;
export const campaignStatusSchema = z.enum(['active', 'closed']);

/**
 * What a campaign pays for hosted tools, which the provider charges by the call and reports nowhere in the usage of a chat
 * completion: so much for each choice of a request that may use the tool, whether it did or not. A tool without a price is
 * refused. `input_tokens_per_request`: what the model reads of the tool's results at most, where it is billed by the token.
 */
export const toolPricesSchema = z.strictObject({
  web_search: z
    .strictObject({
      usd_per_request: feeUsd,
      input_tokens_per_request: z.number().int().min(0).max(2_000_000).default(0),
    })
    .optional(),
});
export type ToolPrices = z.infer<typeof toolPricesSchema>;

const int = z.coerce.number().int();
const nano = z
  .string()
  .regex(/^-?\d+$/)
  .default('0')
  .transform(BigInt);
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'not JSON' });
        return z.NEVER;
      }
    })
    .pipe(schema);

/** The Redis hash of a key: its definition as projected by accounting, and its balances as moved by the scripts. */
export const keyStateSchema = z.object({
  id: z.string(),
  campaign: z.string(),
  label: z.string().default(''),
  status: keyStatusSchema,
  /** Milliseconds since the epoch; 0 never expires. */
  expires_ms: int.default(0),
  rpm: int.default(0),
  tpm: int.default(0),
  concurrent: int.default(0),
  /** null: every model of the campaign. */
  models: json(z.array(z.string()).nullable()),
  policy: json(moderationPolicySchema.nullable()),
  budget: nano,
  spent: nano,
  held: nano,
  running: int.default(0),
  /** When its inputs were refused, milliseconds since the epoch, newest first; those that the policy's window had forgotten are not among them. */
  strike_times: z
    .string()
    .default('')
    .transform((text) => text.split(' ').filter(Boolean).map(Number)),
  /** Milliseconds since the epoch: until then the key rests. */
  cooldown_until: int.default(0),
});
export type KeyState = z.infer<typeof keyStateSchema>;

/** The Redis hash of a campaign. */
export const campaignStateSchema = z.object({
  id: z.string(),
  slug: z.string(),
  status: campaignStatusSchema,
  models: json(z.array(z.string())),
  policy: json(moderationPolicySchema),
  tool_prices: json(toolPricesSchema).default({}),
  /** Of its keys, among those that wait for the same lane. */
  weight: z.coerce.number().min(0.01).max(100).default(1),
  budget: nano,
  spent: nano,
  held: nano,
});
export type CampaignState = z.infer<typeof campaignStateSchema>;
