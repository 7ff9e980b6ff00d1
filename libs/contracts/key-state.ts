import { z } from 'zod';
import { moderationPolicySchema } from './policy.js';

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
  strikes: int.default(0),
});
export type KeyState = z.infer<typeof keyStateSchema>;

/** The Redis hash of a campaign. */
export const campaignStateSchema = z.object({
  id: z.string(),
  slug: z.string(),
  status: campaignStatusSchema,
  models: json(z.array(z.string())),
  policy: json(moderationPolicySchema),
  budget: nano,
  spent: nano,
  held: nano,
});
export type CampaignState = z.infer<typeof campaignStateSchema>;
