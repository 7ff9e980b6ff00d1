import type { AnswerOf, Body } from './endpoint.js';
import type { JsonObject } from './json.js';

/**
 * A request as it waits, sealed, for moderation and forwarding. The files of a form lie beside it. A request is an object. So
 * an array says that something is kept beside it.
 */
export const writtenBody = ({ json, kept }: Body): string => JSON.stringify(kept === undefined ? json : [json, kept]);

export function readBody(text: string): Body {
  const value: unknown = JSON.parse(text);
  if (!Array.isArray(value)) return { json: value, blobs: [] };
  const [json, kept] = value as [unknown, JsonObject];
  return { json, blobs: [], kept };
}

/** What the reader of an answer must know of its request, and of the upstream that answers. */
export const answerOf = ({ json, kept }: Body, tag: string): AnswerOf => ({ kept, sent: json, tag });
