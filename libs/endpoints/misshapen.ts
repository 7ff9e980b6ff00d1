import { MisshapenAnswer } from './endpoint.js';
import { isObject, isTooDeep, type JsonObject } from './json.js';

/** What an upstream says instead of an answer. null: nothing. */
export function errorIn({ error }: JsonObject): JsonObject | null {
  if (typeof error === 'string' && error !== '') return { message: error };
  return isObject(error) && Object.keys(error).length > 0 ? error : null;
}

/** The object that a whole answer is. @throws MisshapenAnswer where it is none, or an error; another error where it breaks off */
export function objectOf(text: string): JsonObject {
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
  const error = errorIn(value);
  if (error) throw new MisshapenAnswer('an error object', error);
  return value;
}
