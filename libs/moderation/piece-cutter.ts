import { StreamTexts, type Content, type FrameText } from '#libs/endpoints/content.js';
import { unescaped } from '#libs/endpoints/encoded.js';
import { cutAt } from '#libs/endpoints/text.js';

/** Some frames of a stream that the guards judge as one. */
export interface Piece {
  frames: string[];
  /** Its text by field, each after the tail of the text before it; empty where the frames hold no text. */
  contents: Content[];
  /** How many characters it has, without the tails. */
  characters: number;
}

/** About 200 tokens: from here on a piece without a sentence's end is cut between two words. */
const PIECE_CHARACTERS = 800;
/** From here on a piece is cut anywhere, so that text without words does not wait for ever. */
export const UNBROKEN_CHARACTERS = 2_000;
/** So much of the text before a piece is judged with it, so that nothing hides at a cut. */
export const TAIL_CHARACTERS = 200;

/** What of a text shows whether a sentence ends with it. */
const END_CHARACTERS = 64;
const SENTENCE_END = /(?:[.!?…。！？]["'”’»)\]]*|\n)\s*$/u;

/**
 * Cuts a stream into pieces at sentence ends, or about every 200 tokens. It cuts only between frames, because the
 * visitor sees a frame whole or not at all. Frames keep their order, whatever output they belong to.
 */
export class PieceCutter {
  private gathered: { frame: string; texts: readonly FrameText[]; images: readonly Content[] }[] = [];
  /** How many of the gathered frames belong to whole pieces. */
  private whole = 0;
  /** How many characters the frames after them have. */
  private unfinished = 0;
  private readonly tails = new Map<string, string>();
  /** How many characters nobody has taken yet. */
  characters = 0;

  /** `images`: a frame with some makes a piece by itself, so that one does not take another away. */
  add(frame: string, texts: readonly FrameText[], images: readonly Content[] = []): void {
    const length = texts.reduce((sum, { text }) => sum + text.length, 0);
    // Only the beginning of the next frame shows whether a word ended.
    if (this.unfinished >= PIECE_CHARACTERS && texts.some(({ text }) => /^\s/.test(text))) this.finish();
    this.gathered.push({ frame, texts, images });
    this.characters += length;
    this.unfinished += length;
    const isWhole =
      texts.some(({ text }) => SENTENCE_END.test(text.slice(-END_CHARACTERS))) ||
      (this.unfinished >= PIECE_CHARACTERS && texts.some(({ text }) => /\s$/.test(text)));
    if (isWhole || images.length > 0 || this.unfinished === 0 || this.unfinished >= UNBROKEN_CHARACTERS) this.finish();
  }

  /**
   * Takes the next piece; null where none is whole yet. `rest`: the stream ended, and all that is left makes a piece.
   */
  take(rest = false): Piece | null {
    if (rest) this.finish();
    if (this.whole === 0) return null;
    const taken = this.gathered.splice(0, this.lengthOfNext());
    this.whole -= taken.length;
    const texts = new StreamTexts();
    for (const { texts: added } of taken) texts.add(added);
    let characters = 0;
    const contents = texts.byPath().map(({ path, text, encoded }): Content => {
      characters += text.length;
      const judged = (this.tails.get(path) ?? '') + text;
      this.tails.set(path, tailOf(judged));
      return { kind: 'text', text: (encoded ? unescaped(judged) : judged).toWellFormed() };
    });
    this.characters -= characters;
    contents.push(...taken.flatMap(({ images }) => images));
    return { frames: taken.map(({ frame }) => frame), contents, characters };
  }

  private lengthOfNext(): number {
    const image = this.gathered.findIndex(({ images }) => images.length > 0);
    return image < 0 || image >= this.whole ? this.whole : Math.max(1, image);
  }

  private finish(): void {
    this.whole = this.gathered.length;
    this.unfinished = 0;
  }
}

/** Begins with a word where it can. Keeps half a surrogate pair at its end: the next frame may bring the other half. */
function tailOf(text: string): string {
  if (text.length <= TAIL_CHARACTERS) return text;
  const tail = text.slice(cutAt(text, text.length - TAIL_CHARACTERS));
  const word = tail.search(/\s/);
  return word >= 0 && word < TAIL_CHARACTERS / 4 ? tail.slice(word) : tail;
}
