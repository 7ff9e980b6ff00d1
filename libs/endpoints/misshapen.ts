import { MisshapenAnswer } from './endpoint.js';
import { isObject, isTooDeep, type JsonObject } from './json.js';

/** The object that a whole answer is. @throws MisshapenAnswer where it is none, or an error */
export function objectOf(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MisshapenAnswer('no JSON');
  }
  if (!isObject(value)) throw new MisshapenAnswer('JSON that is no object');
  if (isTooDeep(value)) throw new MisshapenAnswer('JSON that is too deep');
  if (value.error !== undefined && value.error !== null) {
    throw new MisshapenAnswer('an error object', isObject(value.error) ? value.error : null);
  }
  return value;
}
