import { z } from 'zod';
import { keyLimitsSchema } from './key-state.js';

/**
 * What a visitor has to show before a claim. `pow`: a proof of work that the page solves. `code`: a one-time code.
 * `github`: a sign-in there. `email`: six digits that a mail brings.
 */
export const GATES = ['pow', 'code', 'github', 'email'] as const;
export const gateSchema = z.enum(GATES);
export type Gate = z.infer<typeof gateSchema>;
/** Gates that tell who claims. */
export const identityKindSchema = z.enum(['github', 'email']);
export type IdentityKind = z.infer<typeof identityKindSchema>;

/** Who claims, as a gate found out. Only its HMAC stays, and its label sealed under the visitor's own secret. */
export const identitySchema = z.strictObject({
  kind: identityKindSchema,
  /** `github:<id>` or `email:<address, folded>`: the same person has the same one in every campaign. */
  subject: z.string().min(7).max(400),
  /** What people read: the login at GitHub, the address as typed. */
  label: z.string().min(1).max(320),
});
export type Identity = z.infer<typeof identitySchema>;

/** Of a link with the gate `github`. */
export const githubRulesSchema = z.strictObject({ min_account_age_days: z.number().int() });
export type GithubRules = z.infer<typeof githubRulesSchema>;
/** Of a link with the gate `email`. */
export const emailRulesSchema = z.strictObject({
  /** Addresses of these domains may claim; none: every address. */
  domains: z.array(z.string()),
});
export type EmailRules = z.infer<typeof emailRulesSchema>;

export const linkStatusSchema = z.enum(['open', 'paused', 'closed']);
export type LinkStatus = z.infer<typeof linkStatusSchema>;

/** What the claim page of a campaign says. Every text is plain: no page reads it as HTML or Markdown. */
export const claimPageSchema = z.strictObject({
  title: z.string(),
  text: z.string(),
  /** A picture as a `data:` URL, or null. */
  logo: z.string().nullable(),
  project_url: z.string().nullable(),
  /** Opens the project with a one-time code in place of `{code}`: `https://app.example.org/#daypass={code}`. */
  open_url: z.string().nullable(),
  contact: z.string().nullable(),
  privacy_url: z.string().nullable(),
  /** Text with `{base_url}`, `{key}` and `{model}`. */
  snippet: z.strictObject({ label: z.string(), text: z.string() }).nullable(),
});
export type ClaimPage = z.infer<typeof claimPageSchema>;

/** `claim` of a campaign: its claim page, and the rules that its links share. */
export const campaignClaimSchema = claimPageSchema.extend({
  /** Keys of the campaign that one identified claimant may claim. */
  per_claimant: z.number().int(),
  /** After so long a claim no longer counts against its claimant; null: it always does. */
  renew_after_seconds: z.number().int().nullable(),
  /** Keys may promise so many times the campaign's budget; at most two decimals. */
  overbook: z.number(),
  claims_per_hour: z.number().int(),
  /** Where no key is left, visitors may leave an address. The operator invites them by mail. */
  waitlist: z.boolean(),
});
export type CampaignClaim = z.infer<typeof campaignClaimSchema>;

/** What a key of a link gets. */
export const linkKeySchema = z.strictObject({
  budget_usd: z.string(),
  ttl_seconds: z.number().int().nullable(),
  limits: keyLimitsSchema.partial(),
  /** null: every model of the campaign. */
  models: z.array(z.string()).nullable(),
});
export type LinkKey = z.infer<typeof linkKeySchema>;

/**
 * A claim link as accounting projects it into Redis (`redisKeys.link`), and as ingress reads it for the claim page.
 * `taken` and `promised` also change with each claim; accounting alone decides by its own books.
 */
export const linkStateSchema = z.object({
  id: z.string(),
  token: z.string(),
  version: z.number().int(),
  /** The campaign's id, and its slug. */
  campaign: z.string(),
  slug: z.string(),
  /** `closed`, too, while the campaign is closed. */
  status: linkStatusSchema,
  gates: z.array(gateSchema).min(1),
  /** An older accounting does not say the next two. */
  github: githubRulesSchema.default({ min_account_age_days: 0 }),
  email: emailRulesSchema.default({ domains: [] }),
  key: linkKeySchema,
  /** The most keys of this link; `claimed` of them are gone. */
  max_claims: z.number().int(),
  claimed: z.number().int(),
  /** Milliseconds since the epoch; 0: none. */
  starts_ms: z.number().int(),
  expires_ms: z.number().int(),
  /** Claims that one address may make in a day; 0: no bound, as for a workshop behind one address. */
  per_ip_per_day: z.number().int(),
  /** After so many claims within an hour proofs of work become dearer. After twice as many the campaign refuses. */
  claims_per_hour: z.number().int(),
  /** Pages of these origins may claim by fetch. */
  origins: z.array(z.string()),
  /** Apps may get a key of this link at these addresses (`mayRedirectTo`). An older accounting does not say it. */
  redirect_uris: z.array(z.string()).default([]),
  /** The campaign promises more than it may: no further key until budget comes back. */
  budget_gone: z.boolean(),
  /** Visitors may wait for keys of the campaign. */
  waitlist: z.boolean().default(false),
  page: claimPageSchema,
});
export type LinkState = z.infer<typeof linkStateSchema>;

/** BullMQ's queue for what visitors ask of accounting. A job has ids only: its payload is sealed in `redisKeys.body(id)`. */
export const DESK_QUEUE = 'desk';
/** As `desk`, for what needs servers of others. A slow one of them holds up no claim. */
export const ERRANDS_QUEUE = 'errands';
/** Beyond so many waiting jobs ingress answers 503 `overloaded`. */
export const DESK_WAITING_MAX = 200;
/** Ingress waits so long for the answer; then 503 `recovering`, and the same Idempotency-Key may be sent again. */
export const DESK_PATIENCE_MS = 8_000;
/** A sealed payload lives so long. */
export const DESK_BODY_LIFE_MS = 60_000;

export const deskJobSchema = z.object({
  /** Names the job, its payload and its reply; an id of `newRequestId`. */
  id: z.string().max(100),
  /** The ingress process whose reply stream waits for the answer. */
  replyTo: z.string().max(100),
});
export type DeskJob = z.infer<typeof deskJobSchema>;

const hash = z.string().min(20).max(100);
/** What a visitor asks. No virtual key is ever in it: only its hash (`hashVirtualKey`) and its visible prefix. */
export const deskPayloadSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('claim'),
    /** Names the claim: a repeat under the same Idempotency-Key has the same id, and gets the same key. */
    claim: hash,
    /** The link's id. */
    link: z.string().max(100),
    token_hash: hash,
    prefix: z.string().max(20),
    /** The hash of the one-time code (`hashCode`), where the link's gate is `code`. */
    code_hash: hash.nullable(),
    /** Where the link's gate tells who claims. An older ingress does not say it. */
    identity: identitySchema.nullable().default(null),
    /** Tells addresses apart within a day, without telling the address. */
    ip_tag: z.string().max(100),
  }),
  z.object({
    kind: z.literal('key.calls'),
    key: z.string(),
    cursor: z.string().max(500).nullable(),
    limit: z.number().int(),
  }),
  z.object({
    kind: z.literal('key.rotate'),
    key: z.string(),
    token_hash: hash,
    prefix: z.string().max(20),
    /** The hash of the virtual key that asks. An older ingress does not say it. */
    former_hash: hash.optional(),
  }),
  /** A claimant who lost the key gets a new virtual key for it. */
  z.object({
    kind: z.literal('claim.replace'),
    link: z.string().max(100),
    token_hash: hash,
    prefix: z.string().max(20),
    identity: identitySchema,
  }),
  z.object({ kind: z.literal('waitlist'), link: z.string().max(100), identity: identitySchema }),
  /** An errand: asks GitHub whose code it is. */
  z.object({
    kind: z.literal('github'),
    code: z.string().max(200),
    code_verifier: z.string().max(128),
    redirect_uri: z.string().max(2_000),
  }),
  /** An errand: a mail with six digits. */
  z.object({
    kind: z.literal('mail.code'),
    to: z.string().max(320),
    title: z.string(),
    code: z.string().max(10),
    /** Opens the claim page with address and code filled in. */
    url: z.string().max(2_000),
    minutes: z.number().int(),
  }),
  z.object({ kind: z.literal('key.revoke'), key: z.string() }),
  z.object({ kind: z.literal('key.erase'), key: z.string() }),
]);
export type DeskPayload = z.infer<typeof deskPayloadSchema>;

/** What accounting answers, in the `body` of a `desk` reply. */
export const deskAnswerSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), data: z.unknown() }),
  /** `code`: one of `ERRORS`. */
  z.object({
    ok: z.literal(false),
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
]);
export type DeskAnswer = z.infer<typeof deskAnswerSchema>;

/** `data` of the answer to `claim`. */
export const claimedSchema = z.object({
  id: z.string(),
  prefix: z.string(),
  campaign: z.string(),
  budget_usd: z.string(),
  /** null: it never ends, or its time begins with its first call. */
  expires_at: z.string().nullable(),
  models: z.array(z.string()),
  limits: keyLimitsSchema.partial(),
  /** A repeat of a claim that was answered before. */
  repeated: z.boolean(),
});
export type Claimed = z.infer<typeof claimedSchema>;

/** `data` of the answer to `github`: an account there. */
export const githubAccountSchema = z.object({
  id: z.number().int().positive(),
  login: z.string().min(1).max(100),
  created_at: z.iso.datetime({ offset: true }),
});
export type GithubAccount = z.infer<typeof githubAccountSchema>;

/** One call as its key's holder sees it. */
export const heldCallSchema = z.object({
  id: z.string(),
  at: z.string(),
  endpoint: z.string(),
  model: z.string(),
  input_tokens: z.number().int().nullable(),
  output_tokens: z.number().int().nullable(),
  /** What it used, by meter: also images, sound and characters. Absent: nothing is booked of it. */
  usage: z.record(z.string(), z.number()).optional(),
  cost_usd: z.string().nullable(),
  input: z.array(z.string()),
  output: z.array(z.string()),
  waited_ms: z.number().int().nullable(),
  result: z.string(),
});
export const heldCallsSchema = z.object({ data: z.array(heldCallSchema), next_cursor: z.string().nullable() });
export type HeldCalls = z.infer<typeof heldCallsSchema>;

/** How a claim link looks to whoever opens it. */
export const LINK_STATES = [
  'open',
  'not_started',
  'paused',
  'ended',
  'exhausted',
  'budget_gone',
  'door_shut',
  'recovering',
] as const;
export type LinkPageState = (typeof LINK_STATES)[number];

/** A challenge of altcha-lib, as the page gets it. */
export const challengeSchema = z.record(z.string(), z.unknown());

/** An app that wants a key of the link for its visitor. */
export const linkAppSchema = z.object({
  /** Its host. */
  name: z.string(),
  /** Why it gets none; null: it may have one. */
  refusal: z.string().nullable(),
  /** Where the visitor goes who gives it none; null: nowhere, because the app is a stranger. */
  cancel_url: z.string().nullable(),
});

/**
 * The claim page's state: `GET /claim/v1/links/:token`, and in the shell of `/c/:token`. The shell has none where the link
 * is unknown or nobody can read it: the page then asks by itself.
 */
export const linkViewSchema = z.object({
  state: z.enum(LINK_STATES),
  token: z.string(),
  campaign: z.string(),
  page: claimPageSchema,
  gates: z.array(gateSchema),
  github: githubRulesSchema,
  email: emailRulesSchema,
  /** Who signed in with this browser lately; null: nobody, or the request came without cookies. */
  signed_in: identitySchema.pick({ kind: true, label: true }).nullable(),
  /** While no key is left, visitors may leave an address. */
  waitlist: z.boolean(),
  key: linkKeySchema,
  models: z.array(z.string()),
  /** A rough number of short chats that the key's budget buys; null where no model of it has a price for text. */
  short_chats: z.number().int().nullable(),
  left: z.number().int(),
  max_claims: z.number().int(),
  starts_at: z.string().nullable(),
  expires_at: z.string().nullable(),
  /** What is judged, and for how many days contents are kept; null: for ever. */
  recorded: z.object({ input: z.string(), output: z.string(), retention_days: z.number().int().nullable() }),
  /** Where clients send calls, with `/v1`. */
  base_url: z.string(),
  /** For the gate `pow`; null: the link takes no claim now. */
  challenge: challengeSchema.nullable(),
  /** The app that sent the visitor, by the address' query; null: none did. */
  app: linkAppSchema.nullable(),
});
export type LinkView = z.infer<typeof linkViewSchema>;

/** The state of `/privacy`: of one campaign where a link names it, and of this Daypass otherwise. */
export const privacyViewSchema = z.object({
  link: linkViewSchema
    .pick({ token: true, campaign: true, recorded: true })
    .extend(claimPageSchema.pick({ title: true, contact: true, privacy_url: true }).shape)
    .nullable(),
  /** Why a link that was named is not shown. */
  error: z.enum(['link_unknown', 'recovering']).nullable(),
});
export type PrivacyView = z.infer<typeof privacyViewSchema>;

/** `POST /claim/v1/links/:token/claims`. */
export const claimRequestSchema = z.strictObject({
  pow: z.strictObject({ challenge: challengeSchema, solution: z.record(z.string(), z.unknown()) }).optional(),
  code: z.string().max(40).optional(),
  /** The address, and the six digits that its mail has. Whoever signed in lately needs neither. */
  email: z.string().max(320).optional(),
  email_code: z.string().max(40).optional(),
});
export type ClaimRequest = z.infer<typeof claimRequestSchema>;

/** `POST …/email` and `POST …/waitlist`. */
export const addressRequestSchema = z.strictObject({ email: z.string().max(320) });
/** `POST …/replace`: by the sign-in of this browser, or as a claim by mail. */
export const replaceRequestSchema = claimRequestSchema.pick({ email: true, email_code: true });

/** Its 201. The virtual key stands nowhere else. */
export const claimAnswerSchema = z.object({
  key: z.string(),
  id: z.string(),
  prefix: z.string(),
  campaign: z.string(),
  base_url: z.string(),
  budget_usd: z.string(),
  expires_at: z.string().nullable(),
  models: z.array(z.string()),
  limits: keyLimitsSchema.partial(),
  /** The project; null: the campaign names none, or one that takes a one-time code (`POST /v1/key/hand-over`). */
  open_url: z.string().nullable(),
});
export type ClaimAnswer = z.infer<typeof claimAnswerSchema>;

/**
 * `POST /v1/key/hand-over`, by whoever holds the key. With `redirect_uri` it is for an app, as in OAuth's authorization
 * code with PKCE. Without it, for the project of the link: its `open_url`.
 */
export const handOverRequestSchema = z.strictObject({
  /** The token of the link that the key is of. */
  link: z.string().max(100),
  redirect_uri: z.string().max(2_000).optional(),
  code_challenge: z.string().max(200).optional(),
  code_challenge_method: z.string().max(20).optional(),
  state: z.string().max(1_000).optional(),
});
export type HandOverRequest = z.infer<typeof handOverRequestSchema>;

/** `url`: the app's or the project's address, with a one-time code in it. */
export const handOverAnswerSchema = z.object({ url: z.string() });
export type HandOverAnswer = z.infer<typeof handOverAnswerSchema>;

/** `POST /claim/v1/token`. `code_verifier` is of an app; a project's code has none. */
export const tokenRequestSchema = z.strictObject({
  code: z.string().min(1).max(200),
  code_verifier: z.string().max(200).optional(),
  code_challenge_method: z.literal('S256').optional(),
});
export const tokenAnswerSchema = z.object({ key: z.string(), base_url: z.string(), expires_at: z.string().nullable() });
export type TokenAnswer = z.infer<typeof tokenAnswerSchema>;
/** A mail has so many digits. */
export const MAIL_CODE_LENGTH = 6;
/** The digits as people type them; null: they are none. */
export function readMailCode(typed: string): string | null {
  const code = typed.replaceAll(/[\s-]/g, '');
  return /^\d{6}$/.test(code) ? code : null;
}

/** Codes are 12 of Crockford's characters, shown in groups of four. Reads them as people type them. */
export const CODE_CHARACTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
export const CODE_LENGTH = 12;
export function readCode(typed: string): string | null {
  const code = typed.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1');
  return code.length === CODE_LENGTH && [...code].every((one) => CODE_CHARACTERS.includes(one)) ? code : null;
}
