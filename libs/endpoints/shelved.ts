import type { JsonObject } from './json.js';

/** What a request names instead of containing it. `param`: where, e.g. `previous_response_id`. */
export interface Ref {
  kind: 'response' | 'conversation' | 'item';
  id: string;
  param: string;
  /** The request goes on without it where nobody finds it. */
  optional?: boolean;
}

/** One item that a key was shown or sent, with its `id`. */
export interface ShelvedItem {
  item: JsonObject;
  /** Tokens of what is unreadable in it, as the provider counted them. undefined: nobody counted them. */
  opaqueTokens?: number | undefined;
}

/** A response as its visitor saw it, which the same key may name later. */
export interface Shelved {
  /** E.g. `resp_…`. */
  id: string;
  /** As it was shown. */
  response: JsonObject;
  /** The call's own input, without what it named; each item has an `id`. */
  input: readonly JsonObject[];
  /** Items of the answer, whole: with unreadable parts that the visitor did not ask for. */
  output: readonly ShelvedItem[];
  /** The response that this one continues. */
  parent: string | null;
  /** The conversation that gets its input and its output. */
  conversation: string | null;
}

/** What was found of a request's names. */
export interface Found {
  /** What the model reads before the request's own input, the oldest first. */
  before: readonly ShelvedItem[];
  /** By id: what item references, and items without their contents, stand for. */
  items: ReadonlyMap<string, ShelvedItem>;
}
