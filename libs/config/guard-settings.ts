import { RE2JS } from 're2js';
import { z } from 'zod';

/** The names of the guards that every pipeline has. */
const TAKEN = ['moderation', 'provider'];
const COUNTRY = /^[A-Z]{2}$/;

const common = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be small letters, digits, dashes and underscores')
    .refine((name) => !TAKEN.includes(name), 'is the name of a guard that is there anyway')
    .meta({
      description:
        'Its name in policies and in the record: small letters, digits, dashes and underscores. Not `moderation` or `provider`.',
    }),
  directions: z
    .array(z.enum(['input', 'output']))
    .min(1)
    .default(['input', 'output'])
    .meta({ description: 'What it checks: requests (`input`), answers (`output`) or both.' }),
  always: z
    .boolean()
    .default(true)
    .meta({ description: '`false`: it checks only where `moderation.guards` of a campaign or key names it.' }),
};
const timeoutMs = (fallback: number, description = 'After this time the call has no verdict from this guard.') =>
  z.number().int().min(10).max(30_000).default(fallback).meta({ description, unit: 'ms' });
const IN_THREAD =
  'The content of one call may take this long in the thread. After that Daypass refuses the content. A module that only waits for somebody else gives no verdict then. A call waits at most ten seconds longer for its turns.';

export const PERSONAL_DATA_KINDS = ['email', 'phone', 'credit_card', 'iban', 'ip_address'] as const;

export const guardSchema = z.discriminatedUnion('type', [
  z
    .strictObject({
      type: z.literal('blocklist'),
      ...common,
      words: z
        .array(z.string().regex(/[\p{L}\p{N}]/u, 'must have a letter or a digit'))
        .min(1)
        .max(10_000)
        .meta({ description: 'Words and phrases, at most 10000. Upper and lower case are the same.' }),
    })
    .meta({ description: 'Flags content that has one of these words or phrases as a whole word.' }),
  z
    .strictObject({
      type: z.literal('regex'),
      ...common,
      patterns: z
        .array(z.string().min(1).superRefine(refusePattern))
        .min(1)
        .max(1_000)
        .meta({ description: 'Patterns of RE2, at most 1000. RE2 has no look-around and no back-references.' }),
    })
    .meta({ description: 'Flags content that matches one of these patterns.' }),
  z
    .strictObject({
      type: z.literal('personal_data'),
      ...common,
      kinds: z
        .array(z.enum(PERSONAL_DATA_KINDS))
        .min(1)
        .default([...PERSONAL_DATA_KINDS])
        .meta({ description: 'The kinds of personal data that it finds.' }),
      action: z.enum(['redact', 'block']).default('redact').meta({
        description:
          '`redact` removes what it finds from the request or the answer. `block` refuses the request or the answer. With the output mode `trail` both refuse, because the visitor has seen the text already.',
      }),
      country: z.string().regex(COUNTRY, 'must be a country in two capital letters, such as DE').optional().meta({
        description:
          'A country in two capital letters. Daypass then finds phone numbers in the national form of that country too.',
      }),
      timeout_ms: timeoutMs(2_000, IN_THREAD),
    })
    .meta({ description: 'Finds personal data.' }),
  z
    .strictObject({
      type: z.literal('webhook'),
      ...common,
      url: z
        .url({ protocol: /^https?$/, error: 'must be an address such as https://example.org/guard' })
        .meta({ description: 'Daypass posts the content here and reads the verdict from the answer.' }),
      secret: z
        .string()
        .min(16, 'must have at least 16 characters')
        .meta({ description: 'Daypass signs each request with it (Standard Webhooks).' }),
      timeout_ms: timeoutMs(3_000),
    })
    .meta({
      description:
        'Asks a service of your own. Daypass posts `{ guard, direction, content, context }`. The service answers as a `module` does.',
    }),
  z
    .strictObject({
      type: z.literal('module'),
      ...common,
      path: z.string().min(1).meta({
        description: 'An ES module that exports `check(content, context)`. The path is relative to the config file.',
      }),
      options: z
        .record(z.string(), z.json())
        .default({})
        .meta({ description: 'Your module gets these as `context.options`.' }),
      timeout_ms: timeoutMs(2_000, IN_THREAD),
    })
    .meta({
      description:
        'Runs code of your own in a thread. `check` returns `{ flagged, categories, scores, redactions: [{ find, replace }] }`. [guards/opening-hours.mjs](guards/opening-hours.mjs) is an example.',
    }),
]);
export type GuardSettings = z.output<typeof guardSchema>;

export const guardsSchema = z.array(guardSchema).max(50).superRefine(refuseSameNames).default([]);

function refusePattern(pattern: string, context: z.RefinementCtx): void {
  try {
    RE2JS.compile(pattern);
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: `is no pattern of RE2 (${error instanceof Error ? error.message : String(error)})`,
    });
  }
}

function refuseSameNames(guards: { name: string }[], context: z.RefinementCtx): void {
  guards.forEach(({ name }, index) => {
    if (guards.findIndex((other) => other.name === name) < index)
      context.addIssue({ code: 'custom', path: [index, 'name'], message: `there is another guard '${name}'` });
  });
}
