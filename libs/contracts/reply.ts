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
 * whole answer. `open`, `frames`… and `end` carry a stream that the visitor sees as it comes. Where `open` has a `bytes`,
 * they carry a large whole answer, and its frames are bytes (`FrameOfBytes`).
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
  z.object({
    type: z.literal('open'),
    meta: replyMetaSchema,
    /** Of a whole answer: its head, and the bytes of all its frames. */
    status: z.number().int().optional(),
    contentType: z.string().optional(),
    headers: z.record(z.string(), z.string()).optional(),
    bytes: z.number().int().positive().optional(),
  }),
  /** `n` counts from 0, so that ingress drops a repeat and notices a gap. */
  z.object({
    type: z.literal('frames'),
    n: z.number().int().nonnegative(),
    text: z.string(),
  }),
  /**
   * `frames`: how many came before. `text`: the last frames. `whole`: with them the visitor has all of the answer; absent:
   * they stand for what was to come, as an error does.
   * `last`: the last bytes of a large whole answer, in base64. They come with its end, so that whoever has all of it finds the
   * books in order.
   */
  z.object({
    type: z.literal('end'),
    frames: z.number().int().nonnegative(),
    text: z.string().optional(),
    whole: z.boolean().optional(),
    last: z.string().optional(),
  }),
  /** The answer to what a visitor asked of accounting; `body`: JSON of a `DeskAnswer`. */
  z.object({ type: z.literal('desk'), body: z.string() }),
]);
export type Reply = z.infer<typeof replySchema>;

/** The replies of many calls within one tick, in one entry. */
export const replyPartsSchema = z.array(z.object({ id: z.string(), reply: replySchema }));
export type ReplyParts = z.infer<typeof replyPartsSchema>;

/**
 * A part of a large whole answer. An entry of the reply stream has its bytes alone, sealed under `sealOfFrame`: as JSON
 * they would be read and written twice more.
 */
export interface FrameOfBytes {
  type: 'bytes';
  /** Counts from 0, with those of `frames`. */
  n: number;
  bytes: Buffer;
}

/** A frame fits no other call, and no other place. */
export const sealOfFrame = (requestId: string, n: number): string => `${requestId}/${n}`;
