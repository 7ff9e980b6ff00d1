import type { Content } from '../content.js';

/** A text of so many characters is judged by itself. */
const ALONE_CHARACTERS = 1_000;
/** A group is judged as one text. A larger one would hide a short text among too many others. */
const GROUP_CHARACTERS = 2_000;
/** One of so many texts ends a group, on average. */
const GROUP_TEXTS = 16;
const GROUP_TEXTS_MAX = 4 * GROUP_TEXTS;
/** The characters at each end of a text that decide whether it ends a group. */
const HASHED_CHARACTERS = 32;

/**
 * What is judged of many inputs. One verdict for each of 2,048 short texts would cost 64 calls to the moderation endpoint.
 * One for all would be new whenever one text is. So neighbours are judged together, and the texts themselves say where a
 * group ends, never their positions. Who sends the same texts again, with others before or between them, finds most
 * verdicts in the cache.
 */
export function groupsOf(texts: readonly string[]): Content[] {
  const groups: Content[] = [];
  let open: string[] = [];
  let characters = 0;
  const close = (): void => {
    if (open.length > 0) groups.push({ kind: 'text', text: open.join('\n') });
    open = [];
    characters = 0;
  };
  for (const text of texts) {
    if (text === '') continue;
    if (characters + text.length > GROUP_CHARACTERS || text.length >= ALONE_CHARACTERS) close();
    open.push(text);
    characters += text.length;
    if (text.length >= ALONE_CHARACTERS || open.length >= GROUP_TEXTS_MAX || hashOf(text) % GROUP_TEXTS === 0) close();
  }
  close();
  return groups;
}

/** FNV-1a over both ends of a text. It need not be secret or strong: it only says where a group ends. */
function hashOf(text: string): number {
  const ends =
    text.length <= 2 * HASHED_CHARACTERS ? text : text.slice(0, HASHED_CHARACTERS) + text.slice(-HASHED_CHARACTERS);
  let hash = 0x811c9dc5;
  for (let at = 0; at < ends.length; at++) hash = Math.imul(hash ^ ends.charCodeAt(at), 0x01000193) >>> 0;
  // The lowest bits of FNV-1a depend on few bits of the text.
  return hash ^ (hash >>> 16);
}
