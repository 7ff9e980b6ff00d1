import type { AnswerOf, Blob, Body } from './endpoint.js';
import type { JsonObject } from './json.js';

/**
 * A request as it waits, sealed, for moderation and forwarding. A request is an object. So an array says that something
 * is kept beside it, or that it has files. They lie by themselves.
 */
export function writtenBody({ json, blobs, kept }: Body): string {
  if (blobs.length > 0) return JSON.stringify([json, kept ?? null, blobs]);
  return JSON.stringify(kept === undefined ? json : [json, kept]);
}

export function readBody(text: string): Body {
  const value: unknown = JSON.parse(text);
  if (!Array.isArray(value)) return { json: value, blobs: [] };
  const [json, kept, blobs = []] = value as [unknown, JsonObject | null, (readonly Blob[])?];
  return kept === null ? { json, blobs } : { json, blobs, kept };
}

/** What the reader of an answer must know of its request, and of the upstream that answers. */
export const answerOf = ({ json, kept }: Body, tag: string): AnswerOf => ({ kept, sent: json, tag });
