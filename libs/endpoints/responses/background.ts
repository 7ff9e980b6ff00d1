import type { ToldError } from '#libs/contracts/help.js';
import type { AnsweredTicket, AnswerOf } from '../endpoint.js';
import type { JsonObject } from '../json.js';
import { errorOfResponse } from './frames.js';
import { Life } from './life.js';

/** Longer instructions and tools are not repeated before the response is there. */
const REPEATED_CHARACTERS_MAX = 16_384;

/** What nobody has answered yet, or never will. */
export type Waiting = { state: 'queued' | 'in_progress' | 'cancelled' } | { state: 'failed'; told: ToldError };

/** A response in the background as its visitor gets it at once. */
export function queuedResponse(ticket: AnsweredTicket, of: AnswerOf): JsonObject {
  const blank = new Life(ticket, of).blank();
  const { instructions, tools } = blank;
  const isShort = JSON.stringify([instructions, tools]).length <= REPEATED_CHARACTERS_MAX;
  return { ...blank, ...(isShort ? {} : { instructions: null, tools: [] }), status: 'queued' };
}

/** The same as it stands now. */
export function waitingResponse(queued: JsonObject, waiting: Waiting): JsonObject {
  if (waiting.state !== 'failed') return { ...queued, status: waiting.state };
  return { ...queued, status: 'failed', error: errorOfResponse(waiting.told) };
}
