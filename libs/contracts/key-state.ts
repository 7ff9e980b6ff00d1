import { z } from 'zod';
import { moderationPolicySchema } from './policy.js';

/** So many images one call can make at OpenAI. */
const IMAGES_MAX = 10;
const AUDIO_SECONDS_MAX = 86_400;

/** The fee of one use of a tool, as its operator wrote it: JSON has no exact nano-dollars. */
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
  /** Of requests and of repeated answers; 0 means the operator's default. */
  bytes_per_hour: z.number().int().min(0).max(1_099_511_627_776).default(0),
});
export type KeyLimits = z.infer<typeof keyLimitsSchema>;
/** As stored: a key from before `bytes_per_hour` has none. */
export type StoredLimits = Omit<KeyLimits, 'bytes_per_hour'> & Partial<Pick<KeyLimits, 'bytes_per_hour'>>;

export const keyStatusSchema = z.enum(['active', 'suspended', 'revoked']);
export type KeyStatus = z.infer<typeof keyStatusSchema>;
export const campaignStatusSchema = z.enum(['active', 'closed']);

/**
 * What a campaign pays for hosted tools. The provider charges them by the call, and reports them nowhere in a chat
 * completion's usage. So Daypass charges each output of a request that may use the tool. A request with an unpriced
 * tool is refused. `input_tokens_per_request`: the most tokens of the tool's results that the model reads, where the
 * provider bills them. `max_calls`: how many searches one response may make, where its API lets the model search again and
 * again; absent: three. `images`: what it pays for of pictures. `max`: of one call; absent: four. `quality`: where the visitor
 * leaves it open, and the budget carries it; absent: medium. `audio.max_seconds`: of the sound of one call, where that is less
 * than `DAYPASS_MAX_AUDIO_SECONDS`. A service of the version before cannot read these.
 */
export const toolPricesSchema = z.strictObject({
  web_search: z
    .strictObject({
      usd_per_request: feeUsd,
      input_tokens_per_request: z.number().int().min(0).max(2_000_000).default(0),
      max_calls: z.number().int().min(1).max(100).optional(),
    })
    .optional(),
  images: z
    .strictObject({
      max: z.number().int().min(1).max(IMAGES_MAX).optional(),
      quality: z.enum(['low', 'medium', 'high']).optional(),
    })
    .optional(),
  audio: z.strictObject({ max_seconds: z.number().int().min(1).max(AUDIO_SECONDS_MAX) }).optional(),
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

/** The Redis hash of a key: its definition, which accounting projects, and its balances, which scripts move. */
export const keyStateSchema = z.object({
  id: z.string(),
  campaign: z.string(),
  /** Of its definition: each change of it has a higher one. '': it has none. */
  version: z.string().default(''),
  label: z.string().default(''),
  status: keyStatusSchema,
  /** Milliseconds since the epoch; 0 never expires. */
  expires_ms: int.default(0),
  /** When somebody revoked it, milliseconds since the epoch; 0: nobody did, or nobody knows when. */
  revoked_ms: int.default(0),
  /** Milliseconds since the epoch: before it the key is refused. */
  starts_ms: int.default(0),
  /** The time to live of a key whose time begins with its first call; 0: `expires_ms` says its end. */
  ttl_from_use_ms: int.default(0),
  rpm: int.default(0),
  tpm: int.default(0),
  concurrent: int.default(0),
  /** 0: the operator's default. */
  bytes_per_hour: int.default(0),
  /** null: every model of the campaign. */
  models: json(z.array(z.string()).nullable()),
  policy: json(moderationPolicySchema.nullable()),
  budget: nano,
  spent: nano,
  held: nano,
  running: int.default(0),
  /** Who claimed it; absent or '': the key itself is the visitor. */
  visitor: z.string().default(''),
  /** The times of its strikes within the policy's window, milliseconds since the epoch, newest first. */
  strike_times: z
    .string()
    .default('')
    .transform((text) => text.split(' ').filter(Boolean).map(Number)),
  /** Milliseconds since the epoch: until then the key rests. */
  cooldown_until: int.default(0),
});
export type KeyState = z.infer<typeof keyStateSchema>;

/** Short texts only: Redis sends them with every call. */
const campaignPageSchema = z.object({
  title: z.string(),
  project_url: z.string().nullable(),
  contact: z.string().nullable(),
});
export type CampaignPage = z.infer<typeof campaignPageSchema>;
/** The person that strikes, the provider and the record know: all keys of a claimant are one. */
export const visitorOf = ({ id, visitor }: Pick<KeyState, 'id' | 'visitor'>): string => visitor || id;

const campaignPage = json(campaignPageSchema.nullable());
/** null: the campaign has no claim page, or accounting has not told yet. */
export const readCampaignPage = (text: string): CampaignPage | null => campaignPage.parse(text);

/** The Redis hash of a campaign. */
export const campaignStateSchema = z.object({
  id: z.string(),
  slug: z.string(),
  /** As of a key. */
  version: z.string().default(''),
  status: campaignStatusSchema,
  /** When it was closed, milliseconds since the epoch; 0: it is open, or nobody knows when. */
  closed_ms: int.default(0),
  models: json(z.array(z.string())),
  policy: json(moderationPolicySchema),
  tool_prices: json(toolPricesSchema).default({}),
  /** The origins whose pages may use its keys; null: all. */
  origins: json(z.array(z.string()).nullable()).default(null),
  /** The share of turns that its keys get. */
  weight: z.coerce.number().min(0.01).max(100).default(1),
  /** The record keeps contents for so many days; 0: for ever. */
  retention_days: int.optional(),
  /** What its claim page says of the project (`readCampaignPage`). Each call reads the campaign, and only its holder reads this. */
  page: z.string().default('null'),
  budget: nano,
  spent: nano,
  held: nano,
  /** What its calls cost beyond their holds. */
  absorbed: nano,
});
export type CampaignState = z.infer<typeof campaignStateSchema>;
