/** One thing that is judged: a text, or an image by its URL (`data:` or `https:`). */
export type Content = { kind: 'text'; text: string } | { kind: 'image'; url: string };

type Json = unknown;

/** Fields that hold a word of the protocol; anything else found in them is text like any other. */
const MARKS = new Set(['role', 'type', 'detail', 'finish_reason']);
const WORD = /^[a-z_-]{1,32}$/;

/**
 * Everything of a chat request that a model will read: every message and role, names, tool calls and results, tool
 * definitions, schemas, predicted output, images. Unknown fields are read too, rather than missed. The texts of one
 * message are judged as one, so that a thousand crumbs do not cost a thousand verdicts.
 */
export function chatInputContents(body: Record<string, Json>): Content[] {
  const contents: Content[] = [];
  for (const message of Array.isArray(body.messages) ? (body.messages as Json[]) : []) contents.push(...joined(message));
  // A definition's property names are text that the model reads, so these are judged as they stand.
  for (const field of ['tools', 'functions', 'response_format'] as const) {
    const value = body[field];
    if (value !== undefined && value !== null) contents.push({ kind: 'text', text: JSON.stringify(value) });
  }
  contents.push(...joined(body.prediction), ...joined(body.web_search_options));
  return contents;
}

/** Everything that a chat completion shows: every choice's text, refusal, tool-call names and arguments, and the tokens in its `logprobs`. */
export function chatOutputContents(completion: Record<string, Json>): Content[] {
  const contents: Content[] = [];
  for (const choice of Array.isArray(completion.choices) ? (completion.choices as Json[]) : []) {
    if (typeof choice !== 'object' || choice === null) continue;
    const { message, logprobs } = choice as Record<string, Json>;
    const shown = joined(message);
    const { said, instead } = tokensOf(logprobs);
    contents.push(...shown);
    if (said !== '' && !shown.some((content) => content.kind === 'text' && content.text.includes(said))) contents.push({ kind: 'text', text: said });
    if (instead !== '') contents.push({ kind: 'text', text: instead });
  }
  return contents;
}

/** What `logprobs` show: the tokens that were said, and those that might have been. */
function tokensOf(logprobs: Json): { said: string; instead: string } {
  const found = { said: '', instead: '' };
  if (typeof logprobs !== 'object' || logprobs === null) return found;
  for (const field of ['content', 'refusal'] as const) {
    const tokens = (logprobs as Record<string, Json>)[field];
    for (const entry of Array.isArray(tokens) ? (tokens as Json[]) : []) {
      const { token, top_logprobs: others } = (entry ?? {}) as Record<string, Json>;
      if (typeof token === 'string') found.said += token;
      for (const other of Array.isArray(others) ? (others as Json[]) : []) {
        const instead = ((other ?? {}) as Record<string, Json>).token;
        if (typeof instead === 'string' && instead !== token) found.instead += `${instead} `;
      }
    }
  }
  return found;
}

/** What one frame of a stream adds to the text of one field of one choice. */
export interface FrameText {
  /** Which field of which choice. */
  path: string;
  text: string;
}

/** What a chunk of a stream adds, field by field. */
export function chunkTexts(chunk: Record<string, Json>): FrameText[] {
  const texts: FrameText[] = [];
  for (const choice of Array.isArray(chunk.choices) ? (chunk.choices as Json[]) : []) {
    if (typeof choice !== 'object' || choice === null) continue;
    const { index, delta, logprobs } = choice as Record<string, Json>;
    const path = typeof index === 'number' ? String(index) : '0';
    const before = texts.length;
    walk(delta, path, texts);
    const { said, instead } = tokensOf(logprobs);
    if (said !== '' && !texts.slice(before).some(({ text }) => text === said)) texts.push({ path: `${path}.logprobs.said`, text: said });
    if (instead !== '') texts.push({ path: `${path}.logprobs.instead`, text: instead });
  }
  return texts;
}

function walk(value: Json, path: string, texts: FrameText[]): void {
  if (typeof value === 'string') {
    if (value !== '') texts.push({ path, text: value });
  } else if (Array.isArray(value)) {
    value.forEach((item: Json, position) => {
      const index = typeof item === 'object' && item !== null ? (item as Record<string, Json>).index : undefined;
      walk(item, `${path}.${typeof index === 'number' ? index : position}`, texts);
    });
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) if (!isMark(name, inner) && name !== 'index' && name !== 'id') walk(inner, `${path}.${name}`, texts);
  }
}

/** Joins the deltas of a stream into the texts that they add up to, one for each field of each choice. */
export class StreamTexts {
  private readonly parts = new Map<string, string[]>();

  add(added: readonly FrameText[]): void {
    for (const { path, text } of added) {
      const parts = this.parts.get(path);
      if (parts) parts.push(text);
      else this.parts.set(path, [text]);
    }
  }

  get isEmpty(): boolean {
    return this.parts.size === 0;
  }

  texts(): string[] {
    return [...this.parts.values()].map((parts) => parts.join(''));
  }

  contents(): Content[] {
    return this.texts().map((text) => ({ kind: 'text', text }));
  }
}

function joined(value: Json): Content[] {
  const texts: string[] = [];
  const images: Content[] = [];
  collect(value, texts, images);
  return texts.length > 0 ? [{ kind: 'text', text: texts.join('\n') }, ...images] : images;
}

function collect(value: Json, texts: string[], images: Content[]): void {
  if (typeof value === 'string') {
    if (value !== '') texts.push(value);
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, texts, images);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      if (isMark(name, inner)) continue;
      // Only the address of an image is not text; whatever else stands beside it is.
      if (name === 'image_url' && typeof inner === 'object' && inner !== null && typeof (inner as Record<string, Json>).url === 'string') {
        const { url, ...rest } = inner as Record<string, Json>;
        images.push({ kind: 'image', url: url as string });
        collect(rest, texts, images);
      } else {
        collect(inner, texts, images);
      }
    }
  }
}

function isMark(name: string, value: Json): boolean {
  return MARKS.has(name) && typeof value === 'string' && WORD.test(value);
}
