import type { DaypassError } from './errors.js';
import type { Reply, ReplyMeta } from './reply.js';

const NOT_STARTED: ReplyMeta = { moderation: { input: 'off', output: 'off' }, queueMs: 0 };

/** An error of the catalogue as a whole answer, for the workers that end calls. */
export function errorAnswer(error: DaypassError, meta: ReplyMeta = NOT_STARTED): Reply {
  return { type: 'answer', status: error.status, contentType: 'application/json', headers: error.headers(), body: JSON.stringify(error.body()), meta };
}
