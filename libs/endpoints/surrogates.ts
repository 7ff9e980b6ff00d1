import { wellFormedDeep, type JsonObject } from './json.js';

/** Half of a surrogate pair, as JSON may write one. */
const ESCAPE = /\\u[dD][89a-fA-F]/;
const HIGH_AT_END = /[\ud800-\udbff]$/;

/** Whether JSON may hold half of a surrogate pair. */
export const mayHoldHalf = (json: string): boolean => ESCAPE.test(json);

/** What an upstream wrote as `json`, with U+FFFD for each half of a surrogate pair. */
export function wellFormed(value: JsonObject, json: string): JsonObject {
  return mayHoldHalf(json) ? (wellFormedDeep(value) as JsonObject) : value;
}

/** Joins surrogate pairs whose halves come in two parts of one text. */
export class PairJoiner {
  /** First halves, by the path whose next part begins with the second. */
  private readonly halves = new Map<string, string>();

  /** Whether a path waits for a second half. */
  get waits(): boolean {
    return this.halves.size > 0;
  }

  /** The part behind the half that waits at its path, without a half at its own end. */
  joined(path: string, part: string): string {
    const joined = (this.halves.get(path) ?? '') + part;
    this.halves.delete(path);
    const half = HIGH_AT_END.exec(joined)?.[0] ?? '';
    if (half !== '') this.halves.set(path, half);
    return joined.slice(0, joined.length - half.length);
  }
}
