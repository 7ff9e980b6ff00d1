import type { FastifyReply } from 'fastify';
import type { ErrorBody } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import { formatUsd } from '#libs/money/nano.js';
import { CORS_HEADERS } from '../domain/answer-headers.js';
import { limitHeaders, type KeyUse } from '../domain/limit-headers.js';

export interface Head {
  requestId: string;
  meta: ReplyMeta;
  availableNano: bigint;
  use: KeyUse;
  /** Parameters that Daypass dropped or decided itself. */
  adjusted: readonly string[];
  headers: Record<string, string>;
}

/** A visitor who takes nothing for so long does not keep a connection. */
const IDLE_MS = 30_000;
export const STREAM_TYPE = 'text/event-stream; charset=utf-8';
/** nginx collects an answer without the second one, and shows a stream in one piece. */
const STREAM_HEADERS = { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };

/** Whether an answer of this content type comes in events. */
export function isEventStream(contentType: string): boolean {
  return contentType.startsWith('text/event-stream');
}

/** Writes the head of an answer: how the call went, what it cost and what is left of the budget. */
export function writeHead(
  reply: FastifyReply,
  status: number,
  { requestId, meta, availableNano, use, adjusted, headers }: Head,
): void {
  const word = (direction: 'input' | 'output'): string =>
    meta.unavailable === direction ? 'unavailable' : meta.moderation[direction];
  void reply.hijack();
  const changed = [...new Set([...adjusted, ...(meta.dropped ?? [])])];
  // Only unread bytes count: a model may be silent for longer.
  reply.raw.setTimeout(IDLE_MS, () => reply.raw.writableLength > 0 && reply.raw.destroy());
  reply.raw.writeHead(status, {
    ...CORS_HEADERS,
    'x-request-id': requestId,
    'x-daypass-moderation': `input=${word('input')}; output=${word('output')}`,
    'x-daypass-queue-ms': String(Math.round(meta.queueMs)),
    'x-daypass-available-usd': formatUsd(availableNano),
    ...(meta.costNano === undefined ? {} : { 'x-daypass-cost-usd': formatUsd(BigInt(meta.costNano)) }),
    ...(meta.outputCap === undefined ? {} : { 'x-daypass-output-cap': String(meta.outputCap) }),
    ...(changed.length === 0 ? {} : { 'x-daypass-adjusted': changed.join(', ') }),
    ...limitHeaders(use),
    ...headers,
    ...(isEventStream(headers['content-type'] ?? '') ? STREAM_HEADERS : {}),
  });
}

/** Whether an error says that the same call may succeed later. */
export const asksAgain = ({ headers }: Pick<Extract<Reply, { type: 'answer' }>, 'headers'>): boolean =>
  headers['x-should-retry'] === 'true';

/** The bytes of a whole answer as its visitor gets them: an error says where it is explained. */
export function toldBytes(status: number, bytes: Buffer, origin: string): Buffer {
  if (status < 400) return bytes;
  return Buffer.from(JSON.stringify(withHelp(JSON.parse(bytes.toString()) as ErrorBody, origin)));
}

/** The bytes of a whole answer. */
export function shownBody({ body, binary }: Extract<Reply, { type: 'answer' }>): Buffer {
  return Buffer.from(body, binary ? 'base64' : 'utf8');
}
