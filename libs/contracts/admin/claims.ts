import { z } from 'zod';
import { emailRulesSchema, gateSchema, githubRulesSchema, linkKeySchema, linkStatusSchema } from '../claims.js';
import { time } from './leaves.js';

/** A claim link. `url` begins with DAYPASS_PUBLIC_URL, else with the address in the network, else with localhost. */
export const linkAnswer = z.object({
  id: z.string(),
  campaign: z.string(),
  name: z.string(),
  /** 12 base62 characters, or a name that the operator chose. */
  token: z.string(),
  url: z.string(),
  status: linkStatusSchema,
  gates: z.array(gateSchema),
  github: githubRulesSchema,
  email: emailRulesSchema,
  key: linkKeySchema,
  max_claims: z.int(),
  claimed: z.int(),
  /** How often its page was opened. */
  opened: z.int(),
  starts_at: time.nullable(),
  expires_at: time.nullable(),
  per_ip_per_day: z.int(),
  origins: z.array(z.string()),
  redirect_uris: z.array(z.string()),
  created_at: time,
  updated_at: time,
  /** The answer to a write: what will not work as the operator asked. */
  warnings: z.array(z.string()).optional(),
});
export type LinkView = z.output<typeof linkAnswer>;

/** `POST /links/:id/test`: a claim of $0 up to the booking, undone. */
export const linkTestAnswer = z.object({
  data: z.object({
    ok: z.boolean(),
    steps: z.array(z.object({ name: z.string(), ok: z.boolean(), text: z.string() })),
  }),
});

/** Once, when it is made: `code` as people type it, XXXX-XXXX-XXXX, and `url` with it behind `#code=`. */
export const newCodesAnswer = z.object({
  data: z.array(
    z.object({ id: z.string(), label: z.string(), code: z.string(), url: z.string(), expires_at: time.nullable() }),
  ),
});
export const codeAnswer = z.object({
  id: z.string(),
  label: z.string(),
  status: z.enum(['free', 'used', 'voided', 'expired']),
  /** The key that it made. */
  key: z.string().nullable(),
  expires_at: time.nullable(),
  used_at: time.nullable(),
  voided_at: time.nullable(),
  created_at: time,
});
export type CodeView = z.output<typeof codeAnswer>;
export const voidedAnswer = z.object({ data: z.object({ voided: z.int() }) });

/** Somebody who waits for a key of a campaign. */
export const waitingAnswer = z.object({
  id: z.string(),
  at: time,
  campaign: z.string(),
  /** Where the visitor left the address. */
  link: z.string(),
  claimant: z.string(),
  /** As the visitor wrote it. */
  email: z.string().nullable(),
  invited_at: time.nullable(),
  /** The mail left this machine then. */
  mailed_at: time.nullable(),
  /** Of the code that the mail has. */
  code: z.enum(['free', 'used', 'voided', 'expired']).nullable(),
});
export type WaitingView = z.output<typeof waitingAnswer>;
/** `left`: so many wait still. */
export const invitedAnswer = z.object({ data: z.object({ invited: z.int(), left: z.int() }) });

export const claimAnswer = z.object({
  id: z.string(),
  at: time,
  campaign: z.string(),
  link: z.string(),
  link_name: z.string(),
  key: z.string(),
  key_prefix: z.string(),
  claimant: z.string().nullable(),
  /** How the visitor passed the gate. */
  kind: gateSchema,
});
export type ClaimView = z.output<typeof claimAnswer>;
