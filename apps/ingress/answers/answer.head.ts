import type { FastifyReply } from 'fastify';
import type { ReplyMeta } from '#libs/contracts/reply.js';
import { formatUsd } from '#libs/money/nano.js';
import { limitHeaders, type KeyUse } from '../domain/limit-headers.js';

export interface Head {
  requestId: string;
  meta: ReplyMeta;
  availableNano: bigint;
  use: KeyUse;
  headers: Record<string, string>;
}

/** What was written and is not read any more does not keep a connection for ever. */
const IDLE_MS = 120_000;

/** Begins an answer: what every visitor is told of the call's way, its cost and what is left. */
export function writeHead(
  reply: FastifyReply,
  status: number,
  { requestId, meta, availableNano, use, headers }: Head,
): void {
  void reply.hijack();
  // Only what waits to be read counts: a model may be silent for longer.
  reply.raw.setTimeout(IDLE_MS, () => reply.raw.writableLength > 0 && reply.raw.destroy());
  reply.raw.writeHead(status, {
    'x-request-id': requestId,
    'x-daypass-moderation': `input=${meta.moderation.input}; output=${meta.moderation.output}`,
    'x-daypass-queue-ms': String(Math.round(meta.queueMs)),
    'x-daypass-available-usd': formatUsd(availableNano),
    ...(meta.costNano === undefined ? {} : { 'x-daypass-cost-usd': formatUsd(BigInt(meta.costNano)) }),
    ...(meta.outputCap === undefined ? {} : { 'x-daypass-output-cap': String(meta.outputCap) }),
    ...limitHeaders(use),
    ...headers,
  });
}
