import type { ToldError } from '#libs/contracts/help.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { JsonObject } from '../json.js';
import { CREATED, FAILED, isLastType } from './places.js';

/** How an event's type looks; another one could end the line that it stands in. */
const TYPE = /^[A-Za-z0-9_.-]{1,100}$/;
const FIRST_FRAME = /^event: ([A-Za-z0-9_.-]{1,100})\n/;
const NUMBER = /^\d{1,16}/;
const UNNUMBERED = 0;

export const isType = (type: unknown): type is string => typeof type === 'string' && TYPE.test(type);

const startOf = (type: string): string => `event: ${type}\ndata: {"type":"${type}","sequence_number":`;

/** One event as a visitor gets it. Its number comes first, so that `numbered` finds it. */
export function frameOf(event: JsonObject, number = UNNUMBERED): string {
  // A copy without fields takes V8 longer than one with others (measured), and JSON has no `undefined`.
  const fields = JSON.stringify({ ...event, type: undefined, sequence_number: undefined }).slice(1);
  return `${startOf(event.type as string)}${number}${fields === '}' ? '' : ','}${fields}\n\n`;
}

/** The same frame under another number. */
export function numbered(frame: string, type: string, number: number): string {
  const start = startOf(type).length;
  return `${frame.slice(0, start)}${number}${frame.slice(start + NUMBER.exec(frame.slice(start, start + 16))![0].length)}`;
}

/** The event of a frame of `frameOf`. */
export function eventOf(frame: string): JsonObject {
  return JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as JsonObject;
}

/** Whether nothing of a stream follows these frames of it. */
export function isLast(frames: string): boolean {
  const start = frames.lastIndexOf('\n\n', frames.length - 3);
  const last = FIRST_FRAME.exec(start < 0 ? frames : frames.slice(start + 2));
  return last !== null && isLastType(last[1]!);
}

/** OpenAI's form of an error in the middle of a stream. */
export function errorFrame({ error }: ToldError, number: number): string {
  const { code, message, param, daypass } = error;
  return frameOf({ type: 'error', code, message, param, ...(daypass ? { daypass } : {}) }, number);
}

/**
 * Codex takes an `error` event, and an incomplete response, for a broken line, and sends the call again. It does so after
 * `server_error`, too, but not after `invalid_prompt` (measured with Codex 0.169).
 */
export function codexError(told: ToldError, again: boolean): JsonObject {
  return errorOfResponse(told, again ? 'server_error' : 'invalid_prompt');
}

/** The error as a response has it in itself. `code`: instead of its own. */
export function errorOfResponse({ error }: ToldError, code = error.code ?? 'server_error'): JsonObject {
  const { message, daypass } = error;
  return { code, message, ...(daypass ? { daypass } : {}) };
}

/** Stands before an error where no response has begun: OpenAI's client for Python takes no error before one. */
const NO_RESPONSE = {
  id: 'resp_none',
  object: 'response',
  created_at: 0,
  status: 'failed',
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  model: '',
  output: [],
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  temperature: null,
  top_p: null,
};

/** An error as the last part of a stream of which nothing was shown. */
export function streamError(body: ToldError, { codex }: Ticket['facts'], again: boolean): string {
  const begin = frameOf({ type: CREATED, response: NO_RESPONSE }, 0);
  if (codex !== true) return begin + errorFrame(body, 1);
  const error = codexError(body, again);
  return begin + frameOf({ type: FAILED, response: { ...NO_RESPONSE, error } }, 1);
}

/** Codex sends a call again after each HTTP error of a server, whatever `x-should-retry` says (measured with Codex 0.169). */
export const heedsStreamsOnly = ({ codex }: Ticket['facts'], status: number): boolean =>
  codex === true && status >= 500;
