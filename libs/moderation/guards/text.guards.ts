import { RE2JS } from 're2js';
import type { Content } from '#libs/endpoints/content.js';
import { flagged, PASSED, type Guard, type GuardVerdict } from './guard.js';

const INVISIBLE = /[\u00AD\u200B-\u200F\u2060-\u2064\uFEFF]/g;

const textsOf = (contents: readonly Content[]): string[] =>
  contents.flatMap((content) => (content.kind === 'text' ? [content.text] : []));

/** Flags content that holds one of these words or phrases, as a whole word, however it is cased or dressed up in Unicode. */
export class BlocklistGuard implements Guard {
  readonly model = 'blocklist';
  private readonly pattern: RegExp;

  constructor(
    readonly name: string,
    words: readonly string[],
  ) {
    const alternatives = words.map((word) =>
      plain(word)
        .trim()
        .replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
        .replace(/\s+/g, '\\s+'),
    );
    this.pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${alternatives.join('|')})(?![\\p{L}\\p{N}])`, 'u');
  }

  check(contents: readonly Content[]): Promise<GuardVerdict> {
    return Promise.resolve(
      textsOf(contents).some((text) => this.pattern.test(plain(text))) ? flagged(this.name) : PASSED,
    );
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

  check(contents: readonly Content[]): Promise<GuardVerdict> {
    return Promise.resolve(
      textsOf(contents).some((text) => this.patterns.some((pattern) => pattern.matcher(text).find()))
        ? flagged(this.name)
        : PASSED,
    );
  }
}

function plain(text: string): string {
  return text.normalize('NFKC').replace(INVISIBLE, '').toLowerCase();
}
