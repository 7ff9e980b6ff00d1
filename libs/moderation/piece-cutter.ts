import type { Content, FrameText } from '#libs/endpoints/content.js';

/** A stretch of frames that is judged, and released, as one. */
export interface Piece {
  frames: string[];
  /** Its text by field, each with the tail of what came before it; empty where the frames hold no text. */
  contents: Content[];
  /** Without the tails. */
  characters: number;
}

/** About 200 tokens: a piece without a sentence's end is cut between two words here. */
export const PIECE_CHARACTERS = 800;
/** And wherever it may be here, so that text without words does not wait for ever. */
export const UNBROKEN_CHARACTERS = 2_000;
/** What of the text before a piece is judged with it, so that nothing hides at a cut. */
export const TAIL_CHARACTERS = 200;

const SENTENCE_END = /(?:[.!?…。！？]["'”’»)\]]*|\n)\s*$/u;

/**
 * Cuts a stream into pieces at sentence ends, or about every 200 tokens, on the borders of its frames: a frame is shown
 * whole or not at all. Frames keep their order, whatever choice they belong to.
 */
export class PieceCutter {
  private gathered: { frame: string; texts: readonly FrameText[] }[] = [];
  /** How many of the gathered frames make whole pieces. */
  private whole = 0;
  /** Characters in the frames behind them. */
  private unfinished = 0;
  private readonly tails = new Map<string, string>();
  /** Characters that are not taken yet. */
  characters = 0;

  add(frame: string, texts: readonly FrameText[]): void {
    const length = texts.reduce((sum, { text }) => sum + text.length, 0);
    // Whether a word ends with a frame shows at the beginning of the next.
    if (this.unfinished >= PIECE_CHARACTERS && texts.some(({ text }) => /^\s/.test(text))) this.finish();
    this.gathered.push({ frame, texts });
    this.characters += length;
    this.unfinished += length;
    const ended =
      texts.some(({ text }) => SENTENCE_END.test(text)) ||
      (this.unfinished >= PIECE_CHARACTERS && texts.some(({ text }) => /\s$/.test(text)));
    if (ended || this.unfinished === 0 || this.unfinished >= UNBROKEN_CHARACTERS) this.finish();
  }

  /** The next piece; null where none is whole yet. With `rest` what is left at the end of a stream makes one, too. */
  take(rest = false): Piece | null {
    if (rest) this.finish();
    if (this.whole === 0) return null;
    const taken = this.gathered.splice(0, this.whole);
    this.whole = 0;
    const texts = new Map<string, string>();
    for (const { texts: added } of taken)
      for (const { path, text } of added) texts.set(path, (texts.get(path) ?? '') + text);
    let characters = 0;
    const contents = [...texts].map(([path, text]): Content => {
      characters += text.length;
      const judged = (this.tails.get(path) ?? '') + text;
      this.tails.set(path, judged.slice(-TAIL_CHARACTERS));
      return { kind: 'text', text: judged };
    });
    this.characters -= characters;
    return { frames: taken.map(({ frame }) => frame), contents, characters };
  }

  private finish(): void {
    this.whole = this.gathered.length;
    this.unfinished = 0;
  }
}
