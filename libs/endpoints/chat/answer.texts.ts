import { compile, type Compiled, type Sight } from '../compile.js';
import type { FrameText } from '../content.js';
import { stringsIn } from '../encoded.js';
import type { JsonObject } from '../json.js';
import { CHAT_ANSWER } from './answer.declaration.js';

/** Of one stream so many undeclared fields are remembered, and so long values; any other is judged each time. */
const FIELDS_MAX = 200;
const VALUE_CHARACTERS_MAX = 65_536;
/** A model writes here, whatever the field is called. */
const OUTPUT = /\.(message|delta)$/;
/** The place of a token: its output, and whether it might have been said instead. */
const TOKEN_PATH = /^(choices\.\d+)\.logprobs\.(?:(?:content|refusal)\.\d+\.(top_logprobs\.\d+\.)?token|tokens\.\d+)$/;
/** Completions have the tokens that might have been said as names. */
const INSTEAD_PATH = /^(choices\.\d+)\.logprobs\.top_logprobs\.\d+$/;

export const answer = compile(CHAT_ANSWER);

/** What undeclared fields held last: upstreams repeat some in each chunk, and a repeat has its verdict. */
export type Fields = Map<string, string>;

/** All texts of an answer, or of a chunk of one, by path; without those undeclared fields that are as in `fields`. */
export const textsIn: TextsIn = textsOf(answer);

export type TextsIn = (value: JsonObject, fields?: Fields) => FrameText[];

/** The same of another API whose answers have choices. */
export function textsOf(declared: Compiled): TextsIn {
  return (value, fields = new Map()) => {
    const sight = new AnswerSight(fields);
    declared.visit(value, '', sight);
    return sight.found();
  };
}

class AnswerSight implements Sight {
  private readonly texts: FrameText[] = [];
  /** By output: the tokens that were said, and those that might have been. */
  private readonly tokens = new Map<string, { said: string; instead: string }>();

  constructor(private readonly fields: Fields) {}

  text(path: string, text: string): void {
    const token = path.includes('.logprobs.') ? TOKEN_PATH.exec(path) : null;
    if (!token) this.texts.push({ path, text });
    else {
      const of = this.tokensOf(token[1]!);
      if (token[2] === undefined) of.said += text;
      else of.instead += `${text} `;
    }
  }

  encoded(path: string, text: string): void {
    this.texts.push({ path, text, encoded: true });
  }

  open(path: string, value: unknown): void {
    const all = stringsIn(value);
    const output = path.includes('.logprobs.') ? INSTEAD_PATH.exec(path)?.[1] : undefined;
    if (output !== undefined) this.tokensOf(output).instead += all.map((token) => `${token} `).join('');
    else if (all.length > 0) this.texts.push({ path, text: all.join('\n') });
  }

  unknown(path: string, name: string, value: unknown): void {
    const at = path === '' ? name : `${path}.${name}`;
    if (this.isNew(`${at}#`, name)) this.texts.push({ path: `${at}#`, text: `${name}\n`, beside: true });
    if (typeof value === 'string') {
      const isOutput = OUTPUT.test(path);
      if (isOutput || this.isNew(at, value))
        this.texts.push({ path: at, text: value, ...(isOutput ? {} : { beside: true }) });
      return;
    }
    const all = stringsIn(value);
    const text = `${all.join('\n')}\n`;
    if (all.length > 0 && this.isNew(at, text)) this.texts.push({ path: at, text, beside: true });
  }

  /** An id of the provider's. */
  name(): void {}

  /** Chat completions show none. */
  image(): void {}

  found(): FrameText[] {
    for (const [output, { said, instead }] of this.tokens) {
      const repeats = this.texts.some(({ path, text }) => path.startsWith(`${output}.`) && text.includes(said));
      if (said !== '' && !repeats) this.texts.push({ path: `${output}.logprobs.said`, text: said, beside: true });
      if (instead !== '') this.texts.push({ path: `${output}.logprobs.instead`, text: instead, beside: true });
    }
    return this.texts;
  }

  private tokensOf(output: string): { said: string; instead: string } {
    const of = this.tokens.get(output) ?? { said: '', instead: '' };
    this.tokens.set(output, of);
    return of;
  }

  private isNew(at: string, text: string): boolean {
    if (this.fields.get(at) === text) return false;
    const isKept = text.length <= VALUE_CHARACTERS_MAX && (this.fields.size < FIELDS_MAX || this.fields.has(at));
    if (isKept) this.fields.set(at, text);
    else this.fields.delete(at);
    return true;
  }
}
