import { unescaped } from './encoded.js';
import { isAnyIn, replacedIn, type Replacement } from './findings.js';

export { replacedIn, type Replacement };

/** So many parts that were taken out of one answer are remembered. */
const TAKEN_MAX = 1_000;

/** What was taken out of one stream. It is taken out of later frames, too, because what repeats is not judged again. */
export class TakenOut {
  private taken: readonly Replacement[] = [];

  /** Remembers new replacements, and returns them behind the former ones. */
  with(replacements: readonly Replacement[]): readonly Replacement[] {
    const known = new Set(this.taken.map(({ find }) => find));
    const all = [...this.taken, ...replacements.filter(({ find }) => !known.has(find))];
    this.taken = all.slice(0, TAKEN_MAX);
    return all;
  }
}

/**
 * One thing that is judged: a text, or an image by its URL (`data:` or `https:`). `joined`: where the text stands in several parts,
 * the same without the breaks between them, because a model may read over a break.
 */
export type Content = { kind: 'text'; text: string; joined?: string } | { kind: 'image'; url: string };

/**
 * What one frame of a stream adds to the text at one path, e.g. the `content` of one output. `encoded`: it is a part of JSON in a
 * string, whose escapes a reader decodes.
 */
export interface FrameText {
  path: string;
  text: string;
  encoded?: true;
  /** It stands beside the output: it is judged, and not counted as output. */
  beside?: true;
}

export function contentsReplaced(contents: readonly Content[], replacements: readonly Replacement[]): Content[] {
  return contents.map((content) =>
    content.kind === 'image'
      ? content
      : {
          ...content,
          text: replacedIn(content.text, replacements),
          ...(content.joined === undefined ? {} : { joined: replacedIn(content.joined, replacements) }),
        },
  );
}

/** Whether contents still hold something that was to be taken out of them. */
export function holdsAny(contents: readonly Content[], replacements: readonly Replacement[]): boolean {
  const texts = contents.flatMap((content) => (content.kind === 'text' ? [content.text, content.joined ?? ''] : []));
  return isAnyIn(texts, replacements);
}

/** Joins what frames add into the texts that it adds up to, one for each path. */
export class StreamTexts {
  private readonly parts = new Map<string, { texts: string[]; encoded: boolean; beside: boolean }>();

  add(added: readonly FrameText[]): void {
    for (const { path, text, encoded = false, beside = false } of added) {
      const parts = this.parts.get(path);
      if (parts) {
        parts.texts.push(text);
        // A number may stand where JSON in a string follows.
        parts.encoded ||= encoded;
      } else this.parts.set(path, { texts: [text], encoded, beside });
    }
  }

  /** Whether nothing of the output came yet. */
  get isEmpty(): boolean {
    return [...this.parts.values()].every(({ beside }) => beside);
  }

  byPath(): { path: string; text: string; encoded: boolean; beside: boolean }[] {
    return [...this.parts].map(([path, { texts, ...how }]) => ({ path, text: texts.join(''), ...how }));
  }

  /** The output, as it was shown. */
  texts(): string[] {
    return this.byPath().flatMap(({ text, beside }) => (beside ? [] : [text]));
  }

  /** All of it, as it is judged. */
  contents(): Content[] {
    return this.byPath().map(({ text, encoded }) => ({
      kind: 'text',
      text: encoded ? unescaped(text) : text,
    }));
  }
}
