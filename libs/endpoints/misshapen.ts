import { MisshapenAnswer, UpstreamStreamError } from './endpoint.js';
import { isObject, isTooDeep, type JsonObject } from './json.js';

/** After so many events in a row that nobody can read, what comes is no answer. Parsing them takes time from others. */
const UNREADABLE_MAX = 100;

/** What an upstream says instead of an answer. null: nothing. */
export function errorIn({ error }: JsonObject): JsonObject | null {
  if (typeof error === 'string' && error !== '') return { message: error };
  return isObject(error) && Object.keys(error).length > 0 ? error : null;
}

/** The object that a whole answer is. @throws MisshapenAnswer where it is none, or an error; another error where it breaks off */
export function objectOf(text: string): JsonObject {
  const value = anyObjectOf(text);
  const error = errorIn(value);
  if (error) throw new MisshapenAnswer('an error object', error);
  return value;
}

/** The same, where an error may stand in an answer. */
export function anyObjectOf(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // It may be the first part of an answer that somebody pays for.
    if (/^\s*[[{]/.test(text)) throw new Error('the answer broke off');
    throw new MisshapenAnswer('no JSON');
  }
  if (!isObject(value)) throw new MisshapenAnswer('JSON that is no object');
  if (isTooDeep(value)) throw new MisshapenAnswer('JSON that is too deep');
  return value;
}

/** What stands in the data of an upstream's event; null: nothing that anybody could read. */
export function eventObject(data: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(data);
    return isObject(value) && !isTooDeep(value) ? value : null;
  } catch {
    return null;
  }
}

/** @throws MisshapenAnswer; UpstreamStreamError where the stream has `begun`, so that somebody may pay for it */
export function refuseStream(error: JsonObject, begun: boolean): never {
  if (!begun) throw new MisshapenAnswer('an error object', error);
  throw new UpstreamStreamError(error);
}

/** Counts the events of one stream that nobody can read. */
export class UnreadableEvents {
  private inRow = 0;

  readOne(): void {
    this.inRow = 0;
  }

  /** @throws as `refuseStream`, after too many in a row */
  skipOne(begun: boolean): void {
    if (++this.inRow >= UNREADABLE_MAX)
      refuseStream({ message: 'The upstream sent too many unreadable events.' }, begun);
  }
}
