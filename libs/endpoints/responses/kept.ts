import { isObject, type JsonObject } from '../json.js';

/** What Daypass keeps of a request for its answer. No upstream gets it, and nobody judges it. */
export interface ResponsesKept {
  /** Whether the key can name the response later: the visitor did not say no, and there is a shelf. */
  store: boolean;
  /** The visitor's own, which the answer shows again. */
  metadata: JsonObject;
  previousResponseId: string | null;
  conversation: string | null;
  promptCacheKey: string | null;
  /** What the visitor's `include` asks for. */
  asked: readonly string[];
  /** Where the visitor's own items begin in the input; before it stands what its names stand for. */
  ownFrom: number;
  /** Nobody waits for the answer: it is on the shelf. Absent: somebody does. */
  background?: true;
}

const stringOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** As a body carries it. A body without it is of a visitor who keeps nothing. */
export function readKept(kept: JsonObject | undefined): ResponsesKept {
  const { store, metadata, previousResponseId, conversation, promptCacheKey, asked, ownFrom, background } = kept ?? {};
  return {
    store: store === true,
    metadata: isObject(metadata) ? metadata : {},
    previousResponseId: stringOf(previousResponseId),
    conversation: stringOf(conversation),
    promptCacheKey: stringOf(promptCacheKey),
    asked: Array.isArray(asked) ? (asked as string[]) : [],
    ownFrom: typeof ownFrom === 'number' ? ownFrom : 0,
    ...(background === true ? { background } : {}),
  };
}
