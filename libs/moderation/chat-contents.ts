/** One thing that is judged: a text, or an image by its URL (`data:` or `https:`). */
export type Content = { kind: 'text'; text: string } | { kind: 'image'; url: string };

type Json = unknown;

/** Names and marks that carry no text of a visitor or a model. */
const MARKS = new Set(['role', 'type', 'id', 'tool_call_id', 'index', 'detail', 'finish_reason', 'call_id', 'format']);

/**
 * Everything of a chat request that a model will read: every message and role, names, tool calls and results, tool
 * definitions, schemas, predicted output, images. Unknown fields of a message are read too, rather than missed.
 */
export function chatInputContents(body: Record<string, Json>): Content[] {
  const contents: Content[] = [];
  for (const message of Array.isArray(body.messages) ? (body.messages as Json[]) : []) collect(message, contents);
  // A definition's property names are text that the model reads, so these are judged as they stand.
  for (const field of ['tools', 'functions', 'response_format'] as const) {
    const value = body[field];
    if (value !== undefined && value !== null) contents.push({ kind: 'text', text: JSON.stringify(value) });
  }
  collect(body.prediction, contents);
  return contents;
}

/** Everything that a chat completion shows: every choice's text, refusal, tool-call names and arguments. */
export function chatOutputContents(completion: Record<string, Json>): Content[] {
  const contents: Content[] = [];
  for (const choice of Array.isArray(completion.choices) ? (completion.choices as Json[]) : []) {
    if (typeof choice === 'object' && choice !== null) collect((choice as Record<string, Json>).message, contents);
  }
  return contents;
}

/** Joins the deltas of a stream into the texts that they add up to, one for each field of each choice. */
export class StreamTexts {
  private readonly parts = new Map<string, string[]>();

  add(chunk: Record<string, Json>): void {
    for (const choice of Array.isArray(chunk.choices) ? (chunk.choices as Json[]) : []) {
      if (typeof choice !== 'object' || choice === null) continue;
      const { index, delta } = choice as Record<string, Json>;
      this.walk(delta, typeof index === 'number' ? String(index) : '0');
    }
  }

  texts(): string[] {
    return [...this.parts.values()].map((parts) => parts.join(''));
  }

  contents(): Content[] {
    return this.texts().map((text) => ({ kind: 'text', text }));
  }

  private walk(value: Json, path: string): void {
    if (typeof value === 'string') {
      const parts = this.parts.get(path);
      if (parts) parts.push(value);
      else if (value !== '') this.parts.set(path, [value]);
    } else if (Array.isArray(value)) {
      value.forEach((item: Json, position) => {
        const index = typeof item === 'object' && item !== null ? (item as Record<string, Json>).index : undefined;
        this.walk(item, `${path}.${typeof index === 'number' ? index : position}`);
      });
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) if (!MARKS.has(name)) this.walk(inner, `${path}.${name}`);
    }
  }
}

function collect(value: Json, contents: Content[]): void {
  if (typeof value === 'string') {
    if (value !== '') contents.push({ kind: 'text', text: value });
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, contents);
  } else if (typeof value === 'object' && value !== null) {
    const record = value as Record<string, Json>;
    const image = record.type === 'image_url' ? (record.image_url as Record<string, Json> | null | undefined) : undefined;
    if (typeof image?.url === 'string') {
      contents.push({ kind: 'image', url: image.url });
      return;
    }
    for (const [name, inner] of Object.entries(record)) if (!MARKS.has(name)) collect(inner, contents);
  }
}
