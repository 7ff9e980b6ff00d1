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
 * whole answer. `open`, `frames`… and `end` carry a stream that the visitor sees as it comes. Where `open` has a
 * `contentType`, they carry a whole answer, and its frames are bytes (`FrameOfBytes`).
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
    /** Of a whole answer: its head, and the bytes of all its frames. `bytes` absent: it comes while it is made. */
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
   * they stand for what was to come, as an error does; bytes then break off.
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

type Answer = Extract<Reply, { type: 'answer' }>;
/** A whole answer whose body nobody has to read before the visitor does. */
export type AnswerOfBytes = Omit<Answer, 'body' | 'binary'> & { bytes: Buffer };
/** As ingress reads it. */
export type ReadReply = Exclude<Reply, Answer> | AnswerOfBytes;

/** Between the head of an answer and its body. JSON writes it as `\n`, so that no head has it. */
const BODY_FOLLOWS = '\n';

/**
 * A reply as its worker seals it: JSON; of a whole answer, JSON of all but its body, and the body behind it. `takesBytes`:
 * its ingress can read that (`Ticket.takesBytes`).
 */
export function writtenReply(reply: Reply, takesBytes: boolean): string | Buffer {
  if (reply.type !== 'answer' || !takesBytes) return JSON.stringify(reply);
  const { body, binary, ...head } = reply;
  const before = JSON.stringify(head) + BODY_FOLLOWS;
  return binary ? Buffer.concat([Buffer.from(before), Buffer.from(body, 'base64')]) : before + body;
}

/** Reads what `writtenReply` wrote. @throws ZodError or SyntaxError where it is no reply */
export function readReply(written: Buffer): ReadReply {
  const end = written.indexOf(BODY_FOLLOWS);
  if (end < 0) return withBytes(checkedReply(JSON.parse(written.toString())));
  const head = JSON.parse(written.toString('utf8', 0, end)) as object;
  const { body: _, binary: __, ...answer } = checkedReply({ ...head, type: 'answer', body: '' }) as Answer;
  return { ...answer, bytes: written.subarray(end + 1) };
}

/** Reads an entry of many calls. @throws as `readReply` */
export function readReplyParts(written: string): { id: string; reply: ReadReply }[] {
  return (JSON.parse(written) as ReplyParts).map(({ id, reply }) => ({ id, reply: withBytes(checkedReply(reply)) }));
}

function withBytes(reply: Reply): ReadReply {
  if (reply.type !== 'answer') return reply;
  const { body, binary, ...answer } = reply;
  return { ...answer, bytes: Buffer.from(body, binary ? 'base64' : 'utf8') };
}

/** Our own services write replies, and seal them. So a quick look is enough; where it does not see a reply, zod says why. */
function checkedReply(value: unknown): Reply {
  return looksLikeReply(value) ? value : replySchema.parse(value);
}

function looksLikeReply(value: unknown): value is Reply {
  const reply = (value ?? {}) as Partial<Record<string, unknown>>;
  switch (reply.type) {
    case 'answer':
      return (
        Number.isInteger(reply.status) &&
        typeof reply.contentType === 'string' &&
        typeof reply.body === 'string' &&
        isRecord(reply.headers) &&
        looksLikeMeta(reply.meta)
      );
    case 'frames':
      return isCount(reply.n) && typeof reply.text === 'string';
    case 'open':
      return reply.bytes === undefined && reply.contentType === undefined && looksLikeMeta(reply.meta);
    default:
      return false;
  }
}

function looksLikeMeta(value: unknown): boolean {
  if (!isRecord(value) || !isRecord(value.moderation) || typeof value.queueMs !== 'number') return false;
  const { input, output } = value.moderation;
  return typeof input === 'string' && typeof output === 'string';
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;

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
