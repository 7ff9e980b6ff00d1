import { compile, type Sight } from '../compile.js';
import type { FrameText } from '../content.js';
import { walkOpen } from '../encoded.js';
import type { JsonObject } from '../json.js';
import { CHAT_ANSWER } from './answer.declaration.js';

/** Unknown names of an answer are judged once each; beyond so many, each time. */
const NAMES_MAX = 1_000;

export const answer = compile(CHAT_ANSWER);

/** All texts of an answer, or of a chunk of one, by path; names that nobody declared unless they are among `names`. */
export function textsIn(value: JsonObject, names = new Set<string>()): FrameText[] {
  const sight = new AnswerSight(names);
  answer.visit(value, '', sight);
  return sight.found();
}

const TOKEN_PATH = /^(choices\.\d+)\.logprobs\.(?:content|refusal)\.\d+\.(top_logprobs\.\d+\.)?token$/;

class AnswerSight implements Sight {
  private readonly texts: FrameText[] = [];
  /** By output: the tokens that were said, and those that might have been. */
  private readonly tokens = new Map<string, { said: string; instead: string }>();

  constructor(private readonly names: Set<string>) {}

  text(path: string, text: string): void {
    const token = path.includes('.logprobs.') ? TOKEN_PATH.exec(path) : null;
    if (!token) this.texts.push({ path, text });
    else {
      const of = this.tokens.get(token[1]!) ?? { said: '', instead: '' };
      this.tokens.set(token[1]!, of);
      if (token[2] === undefined) of.said += text;
      else of.instead += `${text} `;
    }
  }

  encoded(path: string, text: string): void {
    this.texts.push({ path, text, encoded: true });
  }

  open(path: string, value: unknown): void {
    walkOpen(value, path, {
      key: (at, name) => {
        if (this.names.has(at)) return;
        if (this.names.size < NAMES_MAX) this.names.add(at);
        this.texts.push({ path: `${at}#`, text: `${name}\n` });
      },
      text: (at, text) => this.texts.push({ path: at, text }),
    });
  }

  /** An id of the provider's. */
  name(): void {}

  /** Chat completions show none. */
  image(): void {}

  found(): FrameText[] {
    for (const [output, { said, instead }] of this.tokens) {
      const repeats = this.texts.some(({ path, text }) => path.startsWith(`${output}.`) && text.includes(said));
      if (said !== '' && !repeats) this.texts.push({ path: `${output}.logprobs.said`, text: said });
      if (instead !== '') this.texts.push({ path: `${output}.logprobs.instead`, text: instead });
    }
    return this.texts;
  }
}
