import { z } from 'zod';
import { verdictWordSchema } from './jobs.js';

/** What the headers of every answer report. */
export const replyMetaSchema = z.object({
  moderation: z.object({ input: verdictWordSchema, output: verdictWordSchema }),
  /** This direction has no verdict, and so nothing of it went on: it is not `unchecked`. */
  unavailable: z.enum(['input', 'output']).optional(),
  queueMs: z.number().nonnegative(),
  /** Decimal nano-dollars; absent while nobody knows the cost. */
  costNano: z.string().optional(),
  /** The output cap, where Daypass lowered it. */
  outputCap: z.number().int().positive().optional(),
  /** Parameters of the visitor's that the upstream was not sent. */
  dropped: z.array(z.string()).optional(),
});
export type ReplyMeta = z.infer<typeof replyMetaSchema>;

/**
 * What workers send to the ingress process with the visitor's connection, encrypted on its reply stream. `answer` is a
 * whole answer. `open`, `frames`… and `end` carry a stream that the visitor sees as it comes.
 */
export const replySchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('answer'),
    status: z.number().int(),
    contentType: z.string(),
    headers: z.record(z.string(), z.string()).default({}),
    /** `binary`: in base64. */
    body: z.string(),
    binary: z.boolean().optional(),
    meta: replyMetaSchema,
  }),
  z.object({ type: z.literal('open'), meta: replyMetaSchema }),
  /** `n` counts from 0, so that ingress drops a repeat and notices a gap. */
  z.object({
    type: z.literal('frames'),
    n: z.number().int().nonnegative(),
    text: z.string(),
  }),
  /** `frames`: how many came before. `text`: last frames, such as an error. */
  z.object({ type: z.literal('end'), frames: z.number().int().nonnegative(), text: z.string().optional() }),
]);
export type Reply = z.infer<typeof replySchema>;

/** The replies of many calls within one tick, in one entry. */
export const replyPartsSchema = z.array(z.object({ id: z.string(), reply: replySchema }));
export type ReplyParts = z.infer<typeof replyPartsSchema>;
