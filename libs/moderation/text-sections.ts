import type { Content } from '#libs/endpoints/content.js';
import { cutAt } from '#libs/endpoints/text.js';

/** The endpoint judges a longer text in overlapping sections, so that nothing hides at a cut. */
const SECTION_CHARACTERS = 8_000;
const OVERLAP_CHARACTERS = 200;

export function sectionsOfAll(contents: readonly Content[]): string[] {
  return contents.flatMap((content) => (content.kind === 'text' ? sectionsOf(content.text) : []));
}

/** Well-formed sections, cut between code points: the endpoint refuses a call with half a surrogate pair. */
export function sectionsOf(text: string): string[] {
  const whole = text.toWellFormed();
  const sections: string[] = [];
  for (let start = 0, end = 0; end < whole.length; start = cutAt(whole, end - OVERLAP_CHARACTERS)) {
    end = cutAt(whole, start + SECTION_CHARACTERS);
    sections.push(whole.slice(start, end));
  }
  return sections;
}

/** Providers count tokens for their limits from characters (OpenAI, "Rate limits"). */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4);
}
