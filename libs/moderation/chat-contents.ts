import { replacedIn, StreamTexts, type Content, type FrameText, type Replacement } from '#libs/endpoints/content.js';

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
  for (const message of Array.isArray(body.messages) ? (body.messages as Json[]) : [])
    contents.push(...joined(message));
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
    if (said !== '' && !shown.some((content) => content.kind === 'text' && content.text.includes(said)))
      contents.push({ kind: 'text', text: said });
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
    if (said !== '' && !texts.slice(before).some(({ text }) => text === said))
      texts.push({ path: `${path}.logprobs.said`, text: said });
    if (instead !== '') texts.push({ path: `${path}.logprobs.instead`, text: instead });
  }
  return texts;
}

function walk(value: Json, path: string, texts: FrameText[]): void {
  if (typeof value === 'string') {
    if (value !== '') texts.push({ path, text: value });
  } else if (Array.isArray(value)) {
    value.forEach((item: Json, position) => walk(item, `${path}.${indexOf(item, position)}`, texts));
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) if (isText(name, inner)) walk(inner, `${path}.${name}`, texts);
  }
}

/** The fields of a request, and of an answer, that hold what a model reads or wrote. */
const TEXT_FIELDS = [
  'messages',
  'tools',
  'functions',
  'response_format',
  'prediction',
  'web_search_options',
  'choices',
];

/** A request, or an answer, with its texts replaced. Tokens beside the text would show it all the same, so `logprobs` go. */
export function chatReplaced(body: Record<string, Json>, replacements: readonly Replacement[]): Record<string, Json> {
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [
      name,
      TEXT_FIELDS.includes(name) ? replacedDeep(value, replacements) : value,
    ]),
  );
}

function replacedDeep(value: Json, replacements: readonly Replacement[]): Json {
  if (typeof value === 'string') return replacedIn(value, replacements);
  if (Array.isArray(value)) return value.map((item: Json) => replacedDeep(item, replacements));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      if (name === 'logprobs' && typeof inner === 'object') return [name, null];
      if (isMark(name, inner) || name === 'image_url') return [name, inner];
      return [replacedIn(name, replacements), replacedDeep(inner, replacements)];
    }),
  );
}

/**
 * Frames of a stream with their texts replaced. A text may begin in one frame and end in another, so where one changed,
 * the whole of it goes into the first frame that held some of it.
 */
export function framesReplaced(frames: readonly string[], replacements: readonly Replacement[]): string[] {
  if (replacements.length === 0) return [...frames];
  const chunks = frames.map(chunkOf);
  const texts = new StreamTexts();
  for (const chunk of chunks) if (chunk) texts.add(chunkTexts(chunk));
  const changed = new Map<string, string>();
  for (const [path, text] of texts.byPath()) {
    const replaced = replacedIn(text, replacements);
    if (replaced !== text) changed.set(path, replaced);
  }
  if (changed.size === 0) return [...frames];
  const given = new Set<string>();
  return frames.map((frame, index) => {
    const chunk = chunks[index];
    if (!chunk || !chunkTexts(chunk).some(({ path }) => changed.has(path))) return frame;
    const choices = (chunk.choices as Json[]).map((choice) => {
      const { index: number, delta, ...rest } = choice as Record<string, Json>;
      const put = (path: string, text: string): string => {
        const whole = changed.get(path);
        if (whole === undefined) return text;
        if (given.has(path)) return '';
        given.add(path);
        return whole;
      };
      return {
        ...rest,
        index: number,
        delta: mapped(delta, typeof number === 'number' ? String(number) : '0', put),
        logprobs: null,
      };
    });
    return `data: ${JSON.stringify({ ...chunk, choices })}\n\n`;
  });
}

function chunkOf(frame: string): Record<string, Json> | null {
  try {
    const chunk = JSON.parse(frame.replace(/^data: /, '')) as Json;
    return typeof chunk === 'object' && chunk !== null && Array.isArray((chunk as Record<string, Json>).choices)
      ? (chunk as Record<string, Json>)
      : null;
  } catch {
    return null;
  }
}

/** As `walk` goes, with every text replaced by what is put there. */
function mapped(value: Json, path: string, put: (path: string, text: string) => string): Json {
  if (typeof value === 'string') return value === '' ? value : put(path, value);
  if (Array.isArray(value))
    return value.map((item: Json, position) => mapped(item, `${path}.${indexOf(item, position)}`, put));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      isText(name, inner) ? mapped(inner, `${path}.${name}`, put) : inner,
    ]),
  );
}

const isText = (name: string, value: Json): boolean => !isMark(name, value) && name !== 'index' && name !== 'id';

function indexOf(item: Json, position: number): number {
  const index = typeof item === 'object' && item !== null ? (item as Record<string, Json>).index : undefined;
  return typeof index === 'number' ? index : position;
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
      if (
        name === 'image_url' &&
        typeof inner === 'object' &&
        inner !== null &&
        typeof (inner as Record<string, Json>).url === 'string'
      ) {
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
