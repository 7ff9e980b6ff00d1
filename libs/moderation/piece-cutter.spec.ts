import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PieceCutter, TAIL_CHARACTERS, UNBROKEN_CHARACTERS, type Piece } from './piece-cutter.js';

/** A text as frames of the given lengths, each frame being its own text. */
function framesOf(text: string, lengths: readonly number[]): string[] {
  const frames: string[] = [];
  for (let at = 0, n = 0; at < text.length; n++) {
    const length = lengths[n % lengths.length]!;
    frames.push(text.slice(at, at + length));
    at += length;
  }
  return frames;
}

function cut(frames: readonly string[], takeEach = true): Piece[] {
  const cutter = new PieceCutter();
  const pieces: Piece[] = [];
  const take = (rest: boolean): void => {
    for (let piece = cutter.take(rest); piece; piece = cutter.take(rest)) pieces.push(piece);
  };
  for (const frame of frames) {
    cutter.add(frame, [{ path: '0.content', text: frame }]);
    if (takeEach) take(false);
  }
  take(true);
  expect(cutter.characters).toBe(0);
  return pieces;
}

const judged = ({ contents }: Piece): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : '')).join('');
const words = fc.array(fc.stringMatching(/^[a-z]{1,12}[.!?]?$/), { maxLength: 600 }).map((list) => list.join(' '));
const lengths = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });

describe('pieces of a stream', () => {
  it('are all of it, in order, and none is longer than it must be', () => {
    fc.assert(
      fc.property(words, lengths, fc.boolean(), (text, sizes, takeEach) => {
        const frames = framesOf(text, sizes);
        const pieces = cut(frames, takeEach);
        expect(pieces.flatMap((piece) => piece.frames)).toEqual(frames);
        expect(pieces.reduce((sum, { characters }) => sum + characters, 0)).toBe(text.length);
        if (takeEach) for (const { characters } of pieces) expect(characters).toBeLessThan(UNBROKEN_CHARACTERS + 60);
      }),
    );
  });

  it('show any phrase no longer than the tail whole to a judge, wherever it is cut', () => {
    fc.assert(
      fc.property(
        words,
        words,
        fc.string({ minLength: 1, maxLength: TAIL_CHARACTERS + 1 }),
        lengths,
        (before, after, phrase, sizes) => {
          const pieces = cut(framesOf(`${before}${phrase}${after}`, sizes));
          expect(pieces.some((piece) => judged(piece).includes(phrase))).toBe(true);
        },
      ),
    );
  });

  it('end at the end of a sentence, with its quotes and brackets, or of a line', () => {
    const texts = ['One.', ' Two', ' is longer', '!”', ' Three', '\n', 'Four (five?)', ' six'];
    expect(cut(texts).map(({ frames }) => frames)).toEqual([
      ['One.'],
      [' Two', ' is longer', '!”'],
      [' Three', '\n'],
      ['Four (five?)'],
      [' six'],
    ]);
  });

  it('without a sentence end are cut between words, also where a word is spread over frames', () => {
    const texts = framesOf('abcdefg hij '.repeat(400), [5, 3]);
    const pieces = cut(texts);
    expect(pieces.length).toBeGreaterThan(4);
    for (let at = 0, n = 0; n < pieces.length - 1; n++) {
      at += pieces[n]!.characters;
      expect('abcdefg hij '.repeat(400).slice(at - 1, at + 1)).toMatch(/\s/);
    }
  });

  it('hold frames without text back only behind frames that wait', () => {
    const cutter = new PieceCutter();
    cutter.add('role', []);
    expect(cutter.take()).toEqual({ frames: ['role'], contents: [], characters: 0 });
    cutter.add('half', [{ path: 'a', text: 'half a' }]);
    cutter.add('empty', []);
    expect(cutter.take()).toBeNull();
    cutter.add('done', [{ path: 'b', text: 'whole.' }]);
    expect(cutter.take()).toEqual({
      frames: ['half', 'empty', 'done'],
      contents: [
        { kind: 'text', text: 'half a' },
        { kind: 'text', text: 'whole.' },
      ],
      characters: 12,
    });
  });

  it('of several choices have a tail each', () => {
    const cutter = new PieceCutter();
    cutter.add('1', [{ path: 'a', text: 'A first.' }]);
    cutter.add('2', [{ path: 'b', text: 'B first.' }]);
    cutter.take();
    cutter.add('3', [{ path: 'a', text: ' A second.' }]);
    expect(cutter.take()?.contents).toEqual([{ kind: 'text', text: 'A first. A second.' }]);
  });

  it('are well-formed, with tails that begin with a whole code point', () => {
    const cutter = new PieceCutter();
    cutter.add('1', [{ path: 'a', text: `😀${'x'.repeat(TAIL_CHARACTERS - 2)}.` }]);
    cutter.take();
    cutter.add('2', [{ path: 'a', text: ' next.' }]);
    expect(cutter.take()?.contents).toEqual([{ kind: 'text', text: `😀${'x'.repeat(TAIL_CHARACTERS - 2)}. next.` }]);
  });

  it('show a surrogate pair whole where two frames have a half each', () => {
    const cutter = new PieceCutter();
    cutter.add('1', [{ path: 'a', text: `${'x '.repeat(UNBROKEN_CHARACTERS / 2)}\ud83d` }]);
    expect(cutter.take()?.contents).toEqual([{ kind: 'text', text: `${'x '.repeat(UNBROKEN_CHARACTERS / 2)}\ufffd` }]);
    cutter.add('2', [{ path: 'a', text: '\ude00 end.' }]);
    expect(cutter.take()?.contents).toEqual([
      { kind: 'text', text: `${'x '.repeat(UNBROKEN_CHARACTERS / 2).slice(1 - TAIL_CHARACTERS)}😀 end.` },
    ]);
  });
});

describe('the tail that is judged with the next piece', () => {
  it('begins with a word, so that no part of one is taken for one', () => {
    const [, second] = cut([`${'shells '.repeat(60)}it ends.`, ' More.']);
    const [content] = second!.contents;
    expect(content).toMatchObject({ kind: 'text', text: expect.stringMatching(/^\s*shells .*ends\. More\.$/) });
  });
});
