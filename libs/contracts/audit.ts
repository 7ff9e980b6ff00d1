import { z } from 'zod';
import { callPolicySchema } from './jobs.js';

export const directionSchema = z.enum(['input', 'output']);
export type Direction = z.infer<typeof directionSchema>;

/**
 * What a check led to. `pass` · `blocked`: not forwarded, or not shown any further · `redacted`: went on without what was found ·
 * `flagged`: seen, and let go on by the policy (`observe`) · `unchecked`: no verdict, and the policy lets it pass (`open`) ·
 * `unavailable`: no verdict, so it was refused (`closed`).
 */
export const checkDecisionSchema = z.enum(['pass', 'blocked', 'redacted', 'flagged', 'unchecked', 'unavailable']);
export type CheckDecision = z.infer<typeof checkDecisionSchema>;

/** A call that was admitted: what was asked stands beside it, as sealed for forwarding. Written by the script that takes the hold. */
const requestEventSchema = z.object({
  kind: z.literal('request'),
  id: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  model: z.string(),
  stream: z.boolean(),
  policy: callPolicySchema,
});

/** One guard's look at one direction of a call, or at a piece of a stream. What was judged of an output stands beside it, sealed. */
const checkEventSchema = z.object({
  kind: z.literal('check'),
  id: z.string().min(1),
  request: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  direction: directionSchema,
  guard: z.string().min(1),
  /** What judged: the moderation model, or the guard's kind. */
  model: z.string(),
  decision: checkDecisionSchema,
  categories: z.array(z.string()),
  scores: z.record(z.string(), z.number()),
  /** Why there is no verdict; never content. */
  reason: z.string().nullable(),
  latency_ms: z.number().nonnegative(),
  policy: callPolicySchema,
});

/** A notice of the provider's about one visitor; its id names the case. */
const safetyEventSchema = z.object({
  kind: z.literal('safety'),
  id: z.string().min(1).max(128),
  type: z.enum(['safety.warning_issued', 'safety.deactivation_issued']),
});

export const auditEventSchema = z.discriminatedUnion('kind', [requestEventSchema, checkEventSchema, safetyEventSchema]);
export type AuditEvent = z.infer<typeof auditEventSchema>;
export type CheckEvent = z.infer<typeof checkEventSchema>;
export type SafetyEvent = z.infer<typeof safetyEventSchema>;
export type RequestEvent = z.infer<typeof requestEventSchema>;

export const AUDIT_GROUP = 'accounting';
