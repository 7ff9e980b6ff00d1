import { setImmediate } from 'node:timers/promises';
import { RE2JS } from 're2js';
import type { Content } from '#libs/endpoints/content.js';
import { cutAt } from '#libs/endpoints/text.js';
import { folded, readings } from './fold.js';
import { flagged, PASSED, type Guard, type GuardVerdict } from './guard.js';

/** So much of a text is folded at once. */
const PART_CHARACTERS = 32_768;
/** A phrase, with what is hidden in it, lies within one part if it is no longer than this. */
const OVERLAP_CHARACTERS = 4_096;

/** With `joined`, because a model may read a phrase that two parts of a message share. */
const textsOf = (contents: readonly Content[]): string[] =>
  contents.flatMap((content) => {
    if (content.kind === 'image') return [];
    return content.joined === undefined ? [content.text] : [content.text, content.joined];
  });

/**
 * Flags content that holds one of these words or phrases, as a whole word, however it is cased or dressed up in
 * Unicode.
 */
export class BlocklistGuard implements Guard {
  readonly model = 'blocklist';
  private readonly pattern: RegExp;

  constructor(
    readonly name: string,
    words: readonly string[],
  ) {
    const alternatives = words
      .map((word) => folded(word).trim())
      // An empty word would match every text.
      .filter((word) => word !== '')
      .map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/\s+/g, '\\s+'));
    this.pattern =
      alternatives.length === 0
        ? /(?!)/g
        : new RegExp(`(?<![\\p{L}\\p{N}\\p{M}])(?:${alternatives.join('|')})(?![\\p{L}\\p{N}\\p{M}])`, 'gu');
  }

  async check(contents: readonly Content[]): Promise<GuardVerdict> {
    for (const text of textsOf(contents)) {
      for (const part of partsOf(text)) {
        if (this.isIn(part)) return flagged(this.name);
        // Folding may make a text many times as long: other calls have their turn in between.
        if (text.length > PART_CHARACTERS) await setImmediate();
      }
    }
    return PASSED;
  }

  /** A part may begin and end within a word. What touches such an edge lies within another part. */
  private isIn({ text, isFirst, isLast }: Part): boolean {
    for (const reading of readings(text)) {
      for (const { 0: found, index } of reading.matchAll(this.pattern)) {
        if ((isFirst || index > 0) && (isLast || index + found.length < reading.length)) return true;
      }
    }
    return false;
  }
}

interface Part {
  text: string;
  isFirst: boolean;
  isLast: boolean;
}

function* partsOf(text: string): Generator<Part> {
  for (let start = 0; ;) {
    const end = cutAt(text, Math.min(text.length, start + PART_CHARACTERS));
    yield { text: text.slice(start, end), isFirst: start === 0, isLast: end >= text.length };
    if (end >= text.length) return;
    start = cutAt(text, end - OVERLAP_CHARACTERS);
  }
}

/** Flags content that a pattern matches. RE2, so that no text can make a pattern run for ever. */
export class RegexGuard implements Guard {
  readonly model = 'regex';
  private readonly patterns: RE2JS[];

  constructor(
    readonly name: string,
    patterns: readonly string[],
  ) {
    this.patterns = patterns.map((pattern) => RE2JS.compile(pattern));
  }

  async check(contents: readonly Content[]): Promise<GuardVerdict> {
    for (const text of textsOf(contents)) {
      for (const pattern of this.patterns) {
        if (pattern.matcher(text).find()) return flagged(this.name);
        if (text.length > PART_CHARACTERS) await setImmediate();
      }
    }
    return PASSED;
  }
}
