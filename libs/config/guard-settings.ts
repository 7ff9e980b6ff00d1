import { RE2JS } from 're2js';
import { z } from 'zod';

/** Names that the pipeline's own guards bear. */
const TAKEN = ['moderation', 'provider'];
const COUNTRY = /^[A-Z]{2}$/;

const common = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be small letters, digits, dashes and underscores')
    .refine((name) => !TAKEN.includes(name), 'is the name of a guard that is there anyway'),
  directions: z
    .array(z.enum(['input', 'output']))
    .min(1)
    .default(['input', 'output']),
  /** false: only for campaigns and keys whose `moderation.guards` name it. */
  always: z.boolean().default(true),
};
const timeoutMs = (fallback: number) => z.number().int().min(10).max(30_000).default(fallback);

export const PERSONAL_DATA_KINDS = ['email', 'phone', 'credit_card', 'iban', 'ip_address'] as const;

const guardSchema = z.discriminatedUnion('type', [
  /** Words and phrases, found whole, however they are cased. */
  z.strictObject({
    type: z.literal('blocklist'),
    ...common,
    words: z
      .array(z.string().regex(/[\p{L}\p{N}]/u, 'must have a letter or a digit'))
      .min(1)
      .max(10_000),
  }),
  /** Patterns of RE2: no look-around, no back-references. */
  z.strictObject({ type: z.literal('regex'), ...common, patterns: z.array(z.string().min(1).superRefine(refusePattern)).min(1).max(1_000) }),
  /** `redact`: what is found is taken out of what goes on. `block`: what holds it is refused. */
  z.strictObject({
    type: z.literal('personal_data'),
    ...common,
    kinds: z
      .array(z.enum(PERSONAL_DATA_KINDS))
      .min(1)
      .default([...PERSONAL_DATA_KINDS]),
    action: z.enum(['redact', 'block']).default('redact'),
    /** Whose national form of phone numbers is found beside the international one. */
    country: z.string().regex(COUNTRY, 'must be a country in two capital letters, such as DE').optional(),
    timeout_ms: timeoutMs(2_000),
  }),
  z.strictObject({
    type: z.literal('webhook'),
    ...common,
    url: z.url({ protocol: /^https?$/, error: 'must be an address such as https://example.org/guard' }),
    secret: z.string().min(16, 'must have at least 16 characters'),
    timeout_ms: timeoutMs(3_000),
  }),
  /** An ES module that exports `check(content, context)`; its path is relative to the file that names it. */
  z.strictObject({
    type: z.literal('module'),
    ...common,
    path: z.string().min(1),
    options: z.record(z.string(), z.json()).default({}),
    timeout_ms: timeoutMs(2_000),
  }),
]);
export type GuardSettings = z.output<typeof guardSchema>;

export const guardsSchema = z.array(guardSchema).max(50).superRefine(refuseSameNames).default([]);

function refusePattern(pattern: string, context: z.RefinementCtx): void {
  try {
    RE2JS.compile(pattern);
  } catch (error) {
    context.addIssue({ code: 'custom', message: `is no pattern of RE2 (${error instanceof Error ? error.message : String(error)})` });
  }
}

function refuseSameNames(guards: { name: string }[], context: z.RefinementCtx): void {
  guards.forEach(({ name }, index) => {
    if (guards.findIndex((other) => other.name === name) < index)
      context.addIssue({ code: 'custom', path: [index, 'name'], message: `there is another guard '${name}'` });
  });
}
