import type { CountingTools } from './endpoint.js';

/** Room for what an upstream puts around a request unseen (tool preambles, schema wrappers), and for other tokenizers. */
const MARGIN_PERCENT = 5;
const MARGIN_TOKENS = 64;
/** As providers count text against their rate limits. */
const CHARACTERS_PER_TOKEN = 4;

/** The most input tokens that a provider may count where Daypass counts so many. */
export const withMargin = (input: number): number => Math.ceil((input * (100 + MARGIN_PERCENT)) / 100) + MARGIN_TOKENS;

/** Input as providers count it against their rate limits. `beside`: tokens of what is no text, which `input` has, too. */
export function pacedTokensOf(
  texts: readonly string[],
  input: number,
  { unknownTokenizer }: Pick<CountingTools, 'unknownTokenizer'>,
  beside = 0,
): number {
  const characters = texts.reduce((sum, { length }) => sum + length, 0);
  // A bound of bytes says little about what the provider will count.
  return Math.max(unknownTokenizer ? 0 : input, Math.ceil(characters / CHARACTERS_PER_TOKEN) + beside);
}
