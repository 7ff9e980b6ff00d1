import { LETTERS, LOOKS } from './confusables.js';

const IGNORABLE = /\p{Default_Ignorable_Code_Point}+/gu;
/** Zero-width spaces and, after NFKD, the Hangul fillers: they may stand between two words. */
const BLANK = /[\u200b\ufeff\u115f\u1160]/g;
/** Tag characters: a model may read the ASCII behind them, and nobody sees it. */
const TAG = /[\u{E0020}-\u{E007E}]/gu;
const TAG_OFFSET = 0xe0000;

/**
 * Marks that adorn a letter. In most scripts of India and Southeast Asia, and in kana, a mark makes another word: there
 * only marks that belong to no script are stripped.
 */
const ADORNING =
  /(?<![[\p{L}--[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}]]\p{M}])\p{M}+|[[\p{M}&&\p{Script=Inherited}]--[\u3099\u309A]]/gv;

/** They look like a Latin letter only beside one: 100 is not `loo`, and the Russian вот is not `bot`. */
const BESIDE_LATIN = /(?<=(\p{Script=Latin})?)[01внтмкκτ]+(?=(\p{Script=Latin})?)/gu;
const AMONG_LATIN: Record<string, string> = { 0: 'o', в: 'b', н: 'h', т: 't', м: 'm', к: 'k', κ: 'k', τ: 't' };

interface Table {
  /** By code unit. */
  units: (string | undefined)[];
  /** By surrogate pair. */
  pairs: Map<string, string>;
}

const letters = tableOf(LETTERS);
const looks = tableOf(LOOKS);

/** The text in small letters, without marks and invisible characters, with one character for all that look like it. */
export function folded(text: string): string {
  return inSmallLetters(bare(text.normalize('NFKD')));
}

/** Each way to read a text, one after the other, so that a match spares the rest. */
export function* readings(text: string): Generator<string> {
  const whole = text.normalize('NFKD');
  yield* looksOf(bare(whole));
  const spaced = whole.replace(BLANK, ' ');
  if (spaced !== whole) yield* looksOf(bare(spaced));
  const hidden = whole.match(TAG)?.map((tag) => String.fromCodePoint(tag.codePointAt(0)! - TAG_OFFSET));
  if (hidden) yield folded(hidden.join(''));
}

/** A capital may look like another letter than its small letter does. I, 1 and | look like i and like l. */
function* looksOf(text: string): Generator<string> {
  const plain = inSmallLetters(text);
  yield plain;
  const withI = inLatin(text, 'i');
  const smallWithI = inSmallLetters(withI);
  if (smallWithI !== plain) yield smallWithI;
  const withL = inLatin(text, 'l');
  if (withL !== withI) yield inSmallLetters(withL);
}

function bare(text: string): string {
  return text.replace(IGNORABLE, '').replace(ADORNING, '');
}

function inLatin(text: string, bar: 'i' | 'l'): string {
  const latin = translated(text, looks, bar);
  return latin.replace(BESIDE_LATIN, (run: string, before?: string, after?: string) =>
    before === undefined && after === undefined ? run : run.replace(/./gu, (one) => AMONG_LATIN[one] ?? bar),
  );
}

function inSmallLetters(text: string): string {
  return translated(text.toLowerCase().replaceAll('ς', 'σ').replaceAll('ß', 'ss'), letters);
}

/** `bar` stands in for the l of the table. A loop, because a pattern of all its characters takes ten times as long. */
function translated(text: string, table: Table, bar = 'l'): string {
  let out = '';
  let done = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    const isHigh = unit >= 0xd800 && unit <= 0xdbff;
    const to = isHigh ? table.pairs.get(text.slice(at, at + 2)) : table.units[unit];
    if (to === undefined) continue;
    out += text.slice(done, at) + (to === 'l' ? bar : to);
    if (isHigh) at++;
    done = at + 1;
  }
  return done === 0 ? text : out + text.slice(done);
}

function tableOf(lines: string): Table {
  const table: Table = { units: Array.from({ length: 0x10000 }), pairs: new Map() };
  for (const line of lines.trim().split('\n')) {
    const [to, ...from] = line.split(' ').map(ofCodes);
    for (const one of from) {
      if (one.length === 1) table.units[one.charCodeAt(0)] = to;
      else table.pairs.set(one, to!);
    }
  }
  return table;
}

function ofCodes(codes: string): string {
  return String.fromCodePoint(...codes.split('+').map((code) => Number.parseInt(code, 16)));
}
