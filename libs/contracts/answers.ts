import type { DaypassError } from './errors.js';
import type { Reply, ReplyMeta } from './reply.js';

const NOT_STARTED: ReplyMeta = { moderation: { input: 'off', output: 'off' }, queueMs: 0 };

/** Redis keeps no larger answer for a repeat, because such answers would fill it. */
export const KEPT_ANSWER_BYTES_MAX = 4_194_304;

/**
 * Whether a repeat under the same idempotency key gets this answer. After one that asks for a retry, it is a new call.
 */
export function isKept(reply: Reply): boolean {
  return (
    reply.type === 'answer' &&
    reply.headers['x-should-retry'] !== 'true' &&
    Buffer.byteLength(reply.body) <= KEPT_ANSWER_BYTES_MAX
  );
}

/** Of a call that was not sent: an input without a verdict did not go on. */
export function unsent(meta: ReplyMeta): ReplyMeta {
  return meta.moderation.input === 'unchecked' ? { ...meta, unavailable: 'input' } : meta;
}

/** Makes a whole answer of an error, for workers that end calls. */
export function errorAnswer(error: DaypassError, meta: ReplyMeta = NOT_STARTED): Reply {
  return {
    type: 'answer',
    status: error.status,
    contentType: 'application/json',
    headers: error.headers(),
    body: JSON.stringify(error.body()),
    meta,
  };
}
