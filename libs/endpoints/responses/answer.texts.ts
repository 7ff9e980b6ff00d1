import { compile, type Sight } from '../compile.js';
import type { Content, FrameText } from '../content.js';
import { ID } from '../declaration.js';
import { stringsIn, walkOpen } from '../encoded.js';
import type { JsonObject } from '../json.js';
import { RESPONSES_ANSWER } from './answer.declaration.js';
import { RESPONSES_EVENT } from './event.declaration.js';
import { outputOf, placeOf } from './places.js';

/** Of one answer so many texts are remembered; a repeat of any other is judged again. Their size is that of the answer. */
const PATHS_MAX = 20_000;
const TOKEN_PATH = /^(.*)\.logprobs\.\d+\.(top_logprobs\.\d+\.)?token$/;
const OUTPUT_PATH = /^\d+(\.|#|$)/;

export const answer = compile(RESPONSES_ANSWER);
export const eventShape = compile(RESPONSES_EVENT);
const DECLARED = new Set(RESPONSES_EVENT.kind === 'variants' ? Object.keys(RESPONSES_EVENT.of) : []);

/** Whether the declaration knows events of a type. */
export const isDeclared = (type: unknown): boolean => DECLARED.has(type as string);

/**
 * Turns the way to a place of an event into the way to that place in the response's output, e.g. `delta` into
 * `0.content.0.text`. So a text has one path, whichever event has it.
 */
export interface Paths {
  of(path: string): string;
  /** Whether what stands at such a way goes behind what earlier events had there. Otherwise it repeats them, or is all of it. */
  appends(path: string): boolean;
}

const OUTPUT = 'response.output.';

class EventPaths implements Paths {
  private readonly field: string;
  private readonly base: string;
  private readonly isPart: boolean;

  constructor(private readonly event: JsonObject) {
    const place = placeOf(event.type as string);
    const output = outputOf(event);
    const isPlaced = place !== undefined && output !== undefined;
    this.field = isPlaced ? place.field : '';
    this.base = isPlaced ? [output, ...place.steps(event)].join('.') : '';
    this.isPart = place?.appends === true;
  }

  of(path: string): string {
    if (this.base !== '') {
      if (path === this.field) return this.base;
      if (path.startsWith(`${this.field}.`)) return this.base + path.slice(this.field.length);
      if (path.startsWith('logprobs.')) return this.base.slice(0, this.base.lastIndexOf('.') + 1) + path;
      if (path === 'name') return `${outputOf(this.event)}.name`;
    }
    if (path.startsWith(OUTPUT)) return path.slice(OUTPUT.length);
    return path === 'response' || path.startsWith('response.') ? path : `${String(this.event.type)}:${path}`;
  }

  appends(path: string): boolean {
    return this.isPart && /^(delta|logprobs)\b/.test(path);
  }
}

export const pathsOf = (event: JsonObject): Paths => new EventPaths(event);

const WHOLE: Paths = {
  of: (path) => (path.startsWith('output.') ? path.slice(7) : `response.${path}`),
  appends: () => false,
};

/** The texts of one answer, by path: each once, however many events repeat it. */
export class AnswerTexts {
  /** What each path holds by now. */
  private readonly held = new Map<string, string>();
  private images: Content[] = [];

  /** The images of all that was read since the last time: each once. */
  takeImages(): readonly Content[] {
    const { images } = this;
    this.images = [];
    return images;
  }

  /** What an event adds. */
  ofEvent(event: JsonObject): FrameText[] {
    const sight = new TextSight(this.held, new EventPaths(event));
    if (isDeclared(event.type)) eventShape.visit(event, '', sight);
    else sight.undeclared(event);
    this.images.push(...sight.images);
    return sight.found();
  }

  /** What a response holds beside that. */
  ofResponse(response: JsonObject): FrameText[] {
    const sight = new TextSight(this.held, WHOLE);
    answer.visit(response, '', sight);
    this.images.push(...sight.images);
    return sight.found();
  }
}

/** Tokens beside a part of the output: those that were said, and those that might have been. */
interface Tokens {
  said: string;
  instead: string;
  appends: boolean;
}

class TextSight implements Sight {
  readonly images: Content[] = [];
  private readonly texts: FrameText[] = [];
  private tokens: Map<string, Tokens> | null = null;

  constructor(
    private readonly held: Map<string, string>,
    private readonly paths: Paths,
  ) {}

  text(path: string, text: string): void {
    const token = path.includes('logprobs.') ? TOKEN_PATH.exec(this.paths.of(path)) : null;
    if (!token) return this.add(path, text);
    this.tokens ??= new Map();
    const of = this.tokens.get(token[1]!) ?? { said: '', instead: '', appends: this.paths.appends(path) };
    this.tokens.set(token[1]!, of);
    if (token[2] === undefined) of.said += text;
    else of.instead += `${text} `;
  }

  encoded(path: string, text: string): void {
    this.add(path, text, true);
  }

  open(path: string, value: unknown): void {
    const all = stringsIn(value);
    if (all.length > 0) this.add(path, all.join('\n'));
  }

  unknown(path: string, name: string, value: unknown): void {
    const at = path === '' ? name : `${path}.${name}`;
    this.put(`${this.paths.of(at)}#`, `${name}\n`, false);
    if (typeof value === 'string') return value === '' ? undefined : this.add(at, value);
    const all = stringsIn(value);
    if (all.length > 0) this.add(at, `${all.join('\n')}\n`);
  }

  /** Nobody knows what its texts repeat, or add to: each goes behind what stood at its place before. */
  undeclared(event: JsonObject): void {
    const type = String(event.type);
    this.put(`${type}#`, `${type}\n`, false);
    const { type: _, ...fields } = event;
    const own = Object.fromEntries(Object.entries(fields).filter(([name, value]) => !isRouting(name, value)));
    walkOpen(own, '', {
      key: (_, name) => this.put(`${type}#${name}`, `${name}\n`, false),
      text: (path, text) => void this.texts.push({ path: `${type}:${path}`, text, beside: true }),
    });
  }

  /** An id of the provider's. */
  name(): void {}

  image(path: string, url: string): void {
    const at = this.paths.of(path);
    if (this.held.get(at) === url) return;
    this.held.set(at, url);
    this.images.push({ kind: 'image', url });
  }

  found(): FrameText[] {
    if (this.tokens) for (const [part, tokens] of this.tokens) this.addTokens(part, tokens);
    return this.texts;
  }

  private addTokens(part: string, { said, instead, appends }: Tokens): void {
    const text = `${part}.text`;
    const isSaid = this.texts.some((one) => one.path === text && one.text.includes(said));
    const repeats = isSaid || (!appends && (this.held.get(text) ?? '').includes(said));
    if (said !== '' && !repeats) this.put(`${part}.logprobs.said`, said, appends);
    if (instead !== '') this.put(`${part}.logprobs.instead`, instead, appends);
  }

  private add(path: string, text: string, encoded?: true): void {
    this.put(this.paths.of(path), text, this.paths.appends(path), encoded);
  }

  private put(path: string, text: string, appends: boolean, encoded?: true): void {
    const before = this.held.get(path);
    if (!appends && before === text) return;
    if (before !== undefined || this.held.size < PATHS_MAX) {
      this.held.set(path, appends && before !== undefined ? before + text : text);
    }
    const isBeside = !OUTPUT_PATH.test(path) || path.includes('.logprobs.');
    this.texts.push({ path, text, ...(encoded && { encoded }), ...(isBeside && { beside: true as const }) });
  }
}

/** Says only which item, and which part of it, an event is about. */
function isRouting(name: string, value: unknown): boolean {
  if (name === 'item_id') return typeof value === 'string' && ID.test(value);
  return name === 'sequence_number' || (/^[a-z]+_index$/.test(name) && Number.isSafeInteger(value));
}

/** Whether nobody can read anything in a field of a response. */
export const isTextless = (name: string, value: unknown): boolean =>
  new AnswerTexts().ofResponse({ [name]: value }).length === 0;
