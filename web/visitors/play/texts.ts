import { duration } from '../../shared/time.js';

/** A part of an answer: text, or a fenced block of code. */
export interface Part {
  is: 'text' | 'code';
  text: string;
  /** What the fence says of a block, such as `python`. */
  language: string;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;

/** Splits at fences. A block without its end, as while it is being written, goes on to the end of the text. */
export function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let lines: string[] = [];
  let open: { fence: string; language: string } | null = null;
  const close = (is: Part['is'], language: string): void => {
    const whole = lines.join('\n');
    const text = is === 'code' ? whole : whole.replaceAll(/^\n+|\n+$/g, '');
    if (is === 'code' || text.trim() !== '') parts.push({ is, text, language });
    lines = [];
  };
  for (const line of text.split('\n')) {
    const [, fence, words = ''] = FENCE.exec(line) ?? [];
    if (open === null && fence !== undefined) {
      close('text', '');
      open = { fence, language: words.trim().split(/\s/)[0]!.slice(0, 30) };
    } else if (open !== null && fence?.startsWith(open.fence) && words.trim() === '') {
      close('code', open.language);
      open = null;
    } else lines.push(line);
  }
  if (open !== null) close('code', open.language);
  else close('text', '');
  return parts;
}

/** A sentence that is still longer is read out in pieces. */
const SENTENCE_CHARACTERS_MAX = 500;
const SENTENCE = /^[\s\S]*?(?:[.!?…]["')\]]*(?=\s)|\n)/;

/** Gives what screen readers hear: whole sentences, and of a block of code that there is one. */
export class Speaker {
  private rest = '';
  private fence: string | null = null;

  push(text: string): string[] {
    this.rest += text;
    const said: string[] = [];
    for (;;) {
      const next = this.fence === null ? this.sentence() : this.line();
      if (next === null) return said;
      if (next.trim() !== '') said.push(next.trim());
    }
  }

  /** What is left at the end. */
  end(): string[] {
    const last = this.push('\n');
    const left = this.fence === null ? this.rest.trim() : '';
    this.rest = '';
    return left === '' ? last : [...last, left];
  }

  private sentence(): string | null {
    const line = /^[^\n]*\n/.exec(this.rest)?.[0];
    const [, fence] = FENCE.exec((line ?? '').replace('\n', '')) ?? [];
    if (fence !== undefined) {
      this.fence = fence;
      this.rest = this.rest.slice(line!.length);
      return 'A block of code.';
    }
    // The line may become a fence.
    if (line === undefined && /^ {0,3}[`~]/.test(this.rest)) return null;
    const found = SENTENCE.exec(this.rest)?.[0];
    if (found !== undefined) return this.take(found.length);
    return this.rest.length > SENTENCE_CHARACTERS_MAX ? this.take(SENTENCE_CHARACTERS_MAX) : null;
  }

  /** A line of a block, which nobody hears. */
  private line(): string | null {
    const end = this.rest.indexOf('\n');
    if (end < 0) return null;
    const line = this.take(end + 1).trim();
    if (line.startsWith(this.fence!)) this.fence = null;
    return '';
  }

  private take(length: number): string {
    const taken = this.rest.slice(0, length);
    this.rest = this.rest.slice(length);
    return taken;
  }
}

/** `1st`, `2nd`, `12th`. */
export function ordinal(count: number): string {
  const isTeen = count % 100 >= 11 && count % 100 <= 13;
  const ending = isTeen ? 'th' : (['th', 'st', 'nd', 'rd'][count % 10] ?? 'th');
  return `${count.toLocaleString('en')}${ending}`;
}

/** `12th in line, about 1 s`. */
export function placeWords({ position, etaMs }: { position: number; etaMs: number }): string {
  const seconds = Math.max(1, Math.ceil(etaMs / 1_000));
  return `${ordinal(position)} in line, about ${seconds < 60 ? `${seconds} s` : duration(Math.ceil(seconds / 60) * 60)}`;
}

const VERDICTS: Readonly<Record<string, string>> = {
  pass: 'passed',
  blocked: 'refused',
  redacted: 'passed, with parts taken out',
  flagged: 'flagged, and shown all the same',
  unchecked: 'without a check',
  unavailable: 'without a check',
  off: 'not checked',
  observe: 'looked at',
  parallel: 'checked meanwhile',
  gate: 'checked before you see it',
  window: 'checked piece by piece',
  trail: 'checked while you read',
};

export const verdictWords = (word: string): string => VERDICTS[word] ?? word.replaceAll('_', ' ');

/** Reads the header `x-daypass-moderation`: `input=pass; output=window`. */
export function verdictsIn(header: string | null): { input: string; output: string } | null {
  const [, input, output] = /^input=(\w+); output=(\w+)$/.exec(header ?? '') ?? [];
  return input === undefined ? null : { input, output: output! };
}

/** Names of models that make no text of a chat. A name tells no more than that. */
const NO_CHAT = /embedding|image|dall-e|tts|whisper|transcribe|moderation|realtime|audio/i;
export const chatModels = (models: readonly string[]): string[] => models.filter((model) => !NO_CHAT.test(model));
