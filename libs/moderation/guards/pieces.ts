import type { Content } from '#libs/endpoints/content.js';
import { cutAt } from '#libs/endpoints/text.js';

/** A part of a text. What begins from `from` on, and before `until`, is this piece's: others show it only in part. */
export interface Piece {
  kind: 'text';
  text: string;
  from: number;
  until: number;
}

/** A search takes some 50 µs a character at worst (libphonenumber-js), so that a piece takes 50 ms. */
const PIECE_CHARACTERS = 1_024;
/** What a search reads around a finding. */
const CONTEXT_CHARACTERS = 64;
/** The longest finding is an address: 64 characters, @ and 253 characters. */
const FINDING_CHARACTERS = 320;
const OVERLAP_CHARACTERS = FINDING_CHARACTERS + 2 * CONTEXT_CHARACTERS;

/**
 * All texts in pieces, each of them a content of its own. Any finding lies within the piece in which it begins, with
 * what stands around it.
 */
export function inPieces(contents: readonly Content[]): Piece[][] {
  return contents.flatMap((content) => {
    if (content.kind === 'image') return [];
    const texts = content.joined === undefined ? [content.text] : [content.text, content.joined];
    return texts.flatMap((text) => [...piecesOf(text)].map((piece) => [piece]));
  });
}

function* piecesOf(text: string): Generator<Piece> {
  for (let start = 0; ;) {
    const end = cutAt(text, Math.min(text.length, start + PIECE_CHARACTERS));
    const isLast = end >= text.length;
    const next = cutAt(text, end - OVERLAP_CHARACTERS);
    yield {
      kind: 'text',
      text: text.slice(start, end),
      from: start === 0 ? 0 : CONTEXT_CHARACTERS,
      until: isLast ? end - start + 1 : next + CONTEXT_CHARACTERS - start,
    };
    if (isLast) return;
    start = next;
  }
}
