import type { FastifyReply } from 'fastify';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import { formatUsd } from '#libs/money/nano.js';
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

/** A visitor who stops reading does not keep a connection for ever. */
const IDLE_MS = 120_000;

/** Writes the head of an answer: how the call went, what it cost and what is left of the budget. */
export function writeHead(
  reply: FastifyReply,
  status: number,
  { requestId, meta, availableNano, use, adjusted, headers }: Head,
): void {
  void reply.hijack();
  // Only unread bytes count: a model may be silent for longer.
  reply.raw.setTimeout(IDLE_MS, () => reply.raw.writableLength > 0 && reply.raw.destroy());
  reply.raw.writeHead(status, {
    'x-request-id': requestId,
    'x-daypass-moderation': `input=${meta.moderation.input}; output=${meta.moderation.output}`,
    'x-daypass-queue-ms': String(Math.round(meta.queueMs)),
    'x-daypass-available-usd': formatUsd(availableNano),
    ...(meta.costNano === undefined ? {} : { 'x-daypass-cost-usd': formatUsd(BigInt(meta.costNano)) }),
    ...(meta.outputCap === undefined ? {} : { 'x-daypass-output-cap': String(meta.outputCap) }),
    ...(adjusted.length === 0 ? {} : { 'x-daypass-adjusted': adjusted.join(', ') }),
    ...limitHeaders(use),
    ...headers,
  });
}

/** The bytes of a whole answer. */
export function shownBody({ body, binary }: Extract<Reply, { type: 'answer' }>): string | Buffer {
  return binary ? Buffer.from(body, 'base64') : body;
}
