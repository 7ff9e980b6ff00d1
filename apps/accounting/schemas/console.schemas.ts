import { z } from 'zod';
import { BUCKETS, RANGES, STREAM_EVENTS } from '#libs/contracts/admin/console.js';
import { isHolder } from '../actor.js';
import { moment, requiredText } from './field.schemas.js';

const TOKEN_MAX = 1_000;
const NAME_MAX = 100;
const NOTE_MAX = 500;

const name = z
  .string()
  .trim()
  .min(1, 'say who you are: the name stands on record with what you do')
  .max(NAME_MAX)
  .regex(/^[^\p{C}]*$/u, 'must have printable characters only')
  .refine((given) => !isHolder(given), "'holder' is the holder of a key on record: take another name");

/** Either the admin token or the code of a sign-in link. */
export const signInSchema = z
  .strictObject({
    token: z.string().min(1).max(TOKEN_MAX).optional().meta({ description: 'DAYPASS_ADMIN_TOKEN' }),
    code: z.string().min(1).max(100).optional().meta({ description: 'The code of a sign-in link' }),
    name: name
      .optional()
      .meta({ description: 'Who signs in. It stands on record with each act. With a code: operator' }),
  })
  .refine(({ token, code }) => (token === undefined) !== (code === undefined), {
    message: 'send the admin token, or the code of a sign-in link',
    path: ['token'],
  })
  .refine(({ token, name: given }) => token === undefined || given !== undefined, {
    message: 'say who you are: the name stands on record with what you do',
    path: ['name'],
  })
  .meta({
    oneOf: [
      { required: ['token', 'name'], not: { required: ['code'] } },
      { required: ['code'], not: { required: ['token'] } },
    ],
  });
export type SignIn = z.infer<typeof signInSchema>;

export const emptySchema = z.strictObject({});

export const doorSchema = z.strictObject({
  state: z.enum(['open', 'shut']),
  note: requiredText(NOTE_MAX).meta({ description: 'Why. It stands on record' }),
});
export type SetDoor = z.infer<typeof doorSchema>;

export const overviewSchema = z.strictObject({ range: z.enum(RANGES).default('1h') });
export type OverviewQuery = z.infer<typeof overviewSchema>;

export const spendSchema = z.strictObject({
  bucket: z.enum(BUCKETS).default('hour'),
  since: moment.optional(),
  until: moment.optional(),
});
export type SpendQuery = z.infer<typeof spendSchema>;

const TOPIC = STREAM_EVENTS.join('|');
export const streamSchema = z.strictObject({
  topics: z
    .string()
    .max(200)
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(STREAM_EVENTS)).max(STREAM_EVENTS.length))
    .optional()
    .meta({
      description: `Names of events with commas between them, of ${STREAM_EVENTS.join(', ')}. All where absent`,
      pattern: `^(${TOPIC})(,(${TOPIC})){0,${STREAM_EVENTS.length - 1}}$`,
    }),
});
export type StreamQuery = z.infer<typeof streamSchema>;
