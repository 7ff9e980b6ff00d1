import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import { replySchema, type Reply } from '#libs/contracts/reply.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import type { KeptBounds, KeptForm, KeptReply } from './hold.types.js';

/** JSON escapes a character of an answer with at most six bytes. The rest is what else a reply has. */
const JSON_BYTES_MAX = 6 * KEPT_ANSWER_BYTES_MAX + 65_536;

/** Compresses and encrypts an answer for repeats. */
export async function keptReply(
  box: ContentBox,
  requestId: string,
  reply: Reply,
  bounds: KeptBounds,
  text = JSON.stringify(reply),
): Promise<KeptReply> {
  const shownBytes = reply.type === 'answer' ? Buffer.byteLength(reply.body) : 0;
  return { packed: await box.pack(text, requestId), shownBytes, bounds };
}

/** @throws when somebody altered the answer, or when it belongs to another call */
export async function readKeptReply(
  box: ContentBox,
  requestId: string,
  { sealed, isPacked }: KeptForm,
): Promise<Reply> {
  const text = isPacked ? await box.unpack(sealed, requestId, JSON_BYTES_MAX) : box.open(sealed, requestId);
  return replySchema.parse(JSON.parse(text));
}

/** One key may have a sixteenth of all kept answers. */
const KEY_SHARE = 16;

export function keptBounds({ keptBytes }: { keptBytes: number }): KeptBounds {
  return { all: keptBytes, ofKey: Math.ceil(keptBytes / KEY_SHARE) };
}
