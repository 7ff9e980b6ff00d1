import { z } from 'zod';
import { verdictWordSchema } from './jobs.js';

/** What every answer's headers are made of. */
export const replyMetaSchema = z.object({
  moderation: z.object({ input: verdictWordSchema, output: verdictWordSchema }),
  queueMs: z.number().nonnegative(),
  /** Decimal nano-dollars; absent while the cost is not known. */
  costNano: z.string().optional(),
  /** The output cap, where it is lower than what was asked for. */
  outputCap: z.number().int().positive().optional(),
});
export type ReplyMeta = z.infer<typeof replyMetaSchema>;

/**
 * What workers say to the ingress process that holds the visitor's connection, on its reply stream, encrypted. `answer` is whole and
 * final; `open`, `frames`… and `end` carry a stream that is shown as it comes.
 */
export const replySchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('answer'),
    status: z.number().int(),
    contentType: z.string(),
    headers: z.record(z.string(), z.string()).default({}),
    body: z.string(),
    meta: replyMetaSchema,
  }),
  z.object({ type: z.literal('open'), meta: replyMetaSchema }),
  /** `n` counts from 0: a repeat is dropped, and a gap is noticed. */
  z.object({ type: z.literal('frames'), n: z.number().int().nonnegative(), text: z.string() }),
  /** `frames`: how many came before; `text`: a last frame, an error that ends the stream. */
  z.object({ type: z.literal('end'), frames: z.number().int().nonnegative(), text: z.string().optional() }),
]);
export type Reply = z.infer<typeof replySchema>;

/** What the streams of many calls say within one turn, in one entry. */
export const replyPartsSchema = z.array(z.object({ id: z.string(), reply: replySchema }));
export type ReplyParts = z.infer<typeof replyPartsSchema>;
