import { z } from 'zod';
import { callPolicySchema } from './jobs.js';

export const directionSchema = z.enum(['input', 'output']);
export type Direction = z.infer<typeof directionSchema>;

/**
 * What followed from a check. `pass` · `blocked`: Daypass forwarded, or showed, nothing more · `redacted`: it went on
 * without the findings · `flagged`: it went on, because the policy only observes · `unchecked`: it went on without a
 * verdict, because the policy is `open` · `unavailable`: Daypass refused it without a verdict, because the policy is
 * `closed`.
 */
export const checkDecisionSchema = z.enum(['pass', 'blocked', 'redacted', 'flagged', 'unchecked', 'unavailable']);
export type CheckDecision = z.infer<typeof checkDecisionSchema>;

/** A call that ingress admitted. `take-hold` writes it, with the encrypted body beside it. */
const requestEventSchema = z.object({
  kind: z.literal('request'),
  id: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  /** Its API (`Endpoint.name`); absent: chat completions. */
  endpoint: z.string().max(100).optional(),
  model: z.string(),
  stream: z.boolean(),
  policy: callPolicySchema,
});

/** One guard's verdict on one direction of a call, or on a piece of a stream. An output stands beside it, encrypted. */
const checkEventSchema = z.object({
  kind: z.literal('check'),
  id: z.string().min(1),
  request: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  direction: directionSchema,
  guard: z.string().min(1),
  /** The moderation model, or the guard's kind. */
  model: z.string(),
  decision: checkDecisionSchema,
  categories: z.array(z.string()),
  scores: z.record(z.string(), z.number()),
  /** Why the guard gave no verdict, or which request repeated this one (guard `repeat`); never content. */
  reason: z.string().nullable(),
  latency_ms: z.number().nonnegative(),
  policy: callPolicySchema,
});

/** The provider's safety notice about one visitor. Its id names the case. */
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
