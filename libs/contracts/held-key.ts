import { z } from 'zod';

/** A refused call as the key's holder sees it: without any text of it. */
export const refusalSchema = z.object({
  at: z.string(),
  /** One of `ERRORS`. */
  code: z.string(),
  details: z.record(z.string(), z.unknown()).nullish(),
  request_id: z.string().nullish(),
});
export type Refusal = z.infer<typeof refusalSchema>;

/** `GET /v1/key`: a key as its holder sees it, also when it has ended. What is optional, a version before has not. */
export const heldKeySchema = z.object({
  id: z.string(),
  label: z.string(),
  campaign: z.string(),
  /** The claim page's title. */
  title: z.string().nullish(),
  project_url: z.string().nullish(),
  contact: z.string().nullish(),
  status: z.enum(['active', 'not_started', 'suspended', 'expired', 'revoked', 'campaign_closed']),
  ended_at: z.string().nullable(),
  /** The key rests until then; null with the status `suspended`: somebody has to reinstate it. */
  suspended_until: z.string().nullable(),
  starts_at: z.string().nullable(),
  expires_at: z.string().nullable(),
  ttl_seconds: z.number().nullable(),
  budget_usd: z.string(),
  spent_usd: z.string(),
  held_usd: z.string(),
  available_usd: z.string(),
  campaign_available: z.boolean(),
  limits: z.object({ rpm: z.number(), tpm: z.number(), concurrent: z.number() }),
  remaining: z.object({ requests: z.number().nullable(), tokens: z.number().nullable() }),
  models: z.array(z.string()),
  moderation: z.object({ input: z.string(), output: z.string(), stream_output: z.string() }),
  retention_days: z.number().nullish(),
  strikes: z.number(),
  /** So many strikes suspend the key; null: none do. */
  strikes_suspend_at: z.number().nullish(),
  /** Newest first, of the last 24 hours, at most 20. */
  recent_refusals: z.array(refusalSchema).optional(),
});
export type HeldKey = z.infer<typeof heldKeySchema>;

/** `POST /v1/key/rotate`. The new virtual key stands nowhere else, and the one before works no more. */
export const rotatedKeySchema = z.object({ key: z.string(), prefix: z.string() });
export type RotatedKey = z.infer<typeof rotatedKeySchema>;
