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

const ENDPOINT_CHARACTERS_MAX = 100;

/** A call that ingress admitted. `take-hold` writes it, with the encrypted body beside it. */
const requestEventSchema = z.object({
  kind: z.literal('request'),
  id: z.string().min(1),
  key: z.string().min(1),
  campaign: z.string().min(1),
  /** Its API (`Endpoint.name`); absent: chat completions. */
  endpoint: z.string().max(ENDPOINT_CHARACTERS_MAX).optional(),
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
type CallPolicy = z.infer<typeof callPolicySchema>;
export type AuditEvent = z.infer<typeof auditEventSchema>;
export type CheckEvent = z.infer<typeof checkEventSchema>;
export type SafetyEvent = z.infer<typeof safetyEventSchema>;
export type RequestEvent = z.infer<typeof requestEventSchema>;

/** @throws ZodError where the value is no event */
export function readAuditEvent(value: unknown): AuditEvent {
  return commonAuditEvent(value) ?? auditEventSchema.parse(value);
}

const DIRECTIONS: ReadonlySet<unknown> = new Set(directionSchema.options);
const DECISIONS: ReadonlySet<unknown> = new Set(checkDecisionSchema.options);
const isNonEmpty = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isString = (value: unknown): value is string => typeof value === 'string';

/**
 * A request or a check as our services write them. undefined: only the schema can tell, and takes longer. Equal
 * policies are one object.
 */
export function commonAuditEvent(value: unknown): RequestEvent | CheckEvent | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const given = value as Record<keyof RequestEvent | keyof CheckEvent, unknown>;
  const { kind, id, key, campaign, model } = given;
  if (!isNonEmpty(id) || !isNonEmpty(key) || !isNonEmpty(campaign) || !isString(model)) return undefined;
  const policy = commonPolicy(given.policy);
  if (!policy) return undefined;
  if (kind === 'request') {
    const { endpoint, stream } = given;
    if (typeof stream !== 'boolean') return undefined;
    const event = { kind, id, key, campaign, model, stream, policy } as const;
    if (endpoint === undefined) return event;
    return isString(endpoint) && endpoint.length <= ENDPOINT_CHARACTERS_MAX ? { ...event, endpoint } : undefined;
  }
  const { request, direction, guard, decision, categories, scores, reason, latency_ms: latencyMs } = given;
  if (kind !== 'check' || !isNonEmpty(request) || !isNonEmpty(guard)) return undefined;
  if (!DIRECTIONS.has(direction) || !DECISIONS.has(decision)) return undefined;
  if (!Array.isArray(categories) || !categories.every(isString) || !areScores(scores)) return undefined;
  if (reason !== null && !isString(reason)) return undefined;
  if (!Number.isFinite(latencyMs) || (latencyMs as number) < 0) return undefined;
  return {
    kind,
    id,
    request,
    key,
    campaign,
    direction: direction as Direction,
    guard,
    model,
    decision: decision as CheckDecision,
    categories,
    scores,
    reason,
    latency_ms: latencyMs as number,
    policy,
  };
}

function areScores(value: unknown): value is Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  for (const name of Object.keys(value))
    if (name === '__proto__' || !Number.isFinite((value as Record<string, unknown>)[name])) return false;
  return true;
}

const POLICIES_MAX = 1_000;
const POLICY_CHARACTERS_MAX = 16_384;
const policies = new Map<string, CallPolicy>();

/** Policies are few, and the same ones come again and again. */
function commonPolicy(value: unknown): CallPolicy | undefined {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return undefined;
  const known = policies.get(text);
  if (known) return known;
  const read = callPolicySchema.safeParse(value);
  if (!read.success) return undefined;
  if (policies.size >= POLICIES_MAX) policies.clear();
  if (text.length <= POLICY_CHARACTERS_MAX) policies.set(text, read.data);
  return read.data;
}

export const AUDIT_GROUP = 'accounting';
