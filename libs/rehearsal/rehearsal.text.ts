/** The part of JSON Schema from which the rehearsal makes up a value. */
export interface JsonSchema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
}

const QUOTED_CHARACTERS = 240;
const DEPTH_MAX = 12;

const OPENINGS = [
  'That is a good question to begin with.',
  'Here is how I would look at it.',
  'Let me take this step by step.',
  'There is a short answer and a longer one.',
];
const MIDDLES = [
  'The first thing to settle is what is really being asked, because the details decide which answer helps.',
  'A useful start is to write down what is already known, and to mark what is only assumed.',
  'Small steps that can each be checked usually lead further than one large step that cannot.',
  'It also helps to name what would change your mind, so that you notice it when you see it.',
  'Where two ways look equally good, the one that is easier to undo is the better one to try first.',
];
const CLOSING = 'This is a rehearsal: no model has read your message, and no money was spent upstream.';

/**
 * Several sentences that depend on the prompt. The same prompt gives the same answer, and each choice of `n` its own.
 */
export function answerText(prompt: string, choice: number): string {
  const seed =
    [...prompt.slice(0, 1000)].reduce((sum, character) => (sum * 31 + character.codePointAt(0)!) % 1_000_003, 7) +
    choice;
  const quoted = prompt.trim().replace(/\s+/g, ' ').slice(0, QUOTED_CHARACTERS);
  const echo = quoted === '' ? 'You did not write any text.' : `You wrote: “${quoted}”`;
  const middles = [0, 1, 2].map((offset) => MIDDLES[(seed + offset) % MIDDLES.length]);
  return [OPENINGS[seed % OPENINGS.length], echo, ...middles, CLOSING].join(' ');
}

/** Cuts text into words with the space before each. Joined, they are the text again. */
export function wordsOf(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? [];
}

/** A value that fits the schema; its strings come from the prompt. */
export function sampleOf(schema: JsonSchema, prompt: string, depth = 0): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf?.[0]) return sampleOf(schema.anyOf[0], prompt, depth + 1);
  const type = Array.isArray(schema.type) ? schema.type[0] : (schema.type ?? (schema.properties ? 'object' : 'string'));
  if (depth > DEPTH_MAX) return null;
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, property]) => [
          name,
          sampleOf(property, prompt, depth + 1),
        ]),
      );
    case 'array':
      return schema.items ? [sampleOf(schema.items, prompt, depth + 1)] : [];
    case 'integer':
    case 'number':
      return 1;
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return /\b\p{Lu}\p{L}+\b(?=\W*$)/u.exec(prompt)?.[0] ?? 'rehearsal';
  }
}
