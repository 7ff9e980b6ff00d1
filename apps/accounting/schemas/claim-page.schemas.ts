import { z } from 'zod';
import { requiredText, text } from './field.schemas.js';

const TEXT_MAX = 2_000;
const SNIPPET_MAX = 4_000;
/** Of a `data:` URL, which has four characters for three bytes: 32 kB. */
const LOGO_MAX_CHARACTERS = 43_800;
const LOGO = /^data:image\/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/]+={0,2}$/;
const CLAIMS_PER_HOUR = 100;

/** Several lines of plain text: no control character but line breaks and tabs. */
// oxlint-disable-next-line no-control-regex
const LINES = /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$/;
const lines = (most: number) =>
  z
    .string()
    .max(most)
    .regex(LINES, 'must not have control characters, except line breaks and tabs')
    .refine((given) => given.isWellFormed(), 'must not have half of a surrogate pair')
    .trim();

const webAddress = z
  .string()
  .max(2_000)
  .refine(isWebAddress, 'must be a web address such as "https://example.org/project"')
  .meta({ description: 'A web address of http or https', example: 'https://example.org/project', format: 'uri' });

function isWebAddress(value: string): boolean {
  return URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
}

/** The claim page of a campaign, and the rules that all of its links share. */
export const claimSchema = z.strictObject({
  title: requiredText(200),
  text: lines(TEXT_MAX).default(''),
  logo: z
    .string()
    .max(LOGO_MAX_CHARACTERS, 'must not be larger than 32 kB')
    .regex(LOGO, 'must be a picture as a data: URL in base64: PNG, JPEG, GIF, WebP or SVG')
    .nullable()
    .default(null),
  project_url: webAddress.nullable().default(null),
  open_url: webAddress.nullable().default(null),
  contact: text(300).nullable().default(null),
  privacy_url: webAddress.nullable().default(null),
  snippet: z
    .strictObject({ label: requiredText(60), text: lines(SNIPPET_MAX) })
    .nullable()
    .default(null),
  per_claimant: z.number().int().min(1).max(1_000).default(1),
  renew_after_seconds: z.number().int().min(60).max(316_224_000).nullable().default(null),
  overbook: z
    .number()
    .min(1)
    .max(100)
    .refine((times) => Math.abs(times * 100 - Math.round(times * 100)) < 1e-6, 'must have at most two decimals')
    .meta({ multipleOf: 0.01 })
    .default(1),
  claims_per_hour: z.number().int().min(1).max(1_000_000).default(CLAIMS_PER_HOUR),
  waitlist: z.boolean().default(false),
});
