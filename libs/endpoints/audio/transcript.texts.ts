import { compile, type Compiled, type Sight } from '../compile.js';
import type { Content, FrameText } from '../content.js';
import { stringsIn } from '../encoded.js';
import { isObject, valuesIn, type JsonObject } from '../json.js';
import { DELTA, DONE, SEGMENT_DONE, TRANSCRIPT, TRANSCRIPT_EVENT } from './answer.declaration.js';

export const transcript = compile(TRANSCRIPT);
export const transcriptEvent = compile(TRANSCRIPT_EVENT);

/** Where a text stands that others repeat. */
const TEXT = 'text';
/** So many segments of one stream are remembered, to tell what repeats them. */
const SEGMENTS_MAX = 10_000;

/** By kind of place, in their order. */
interface Seen {
  text: string[];
  segments: string[];
  words: string[];
  tokens: string[];
  /** Whatever has no line in the declaration. */
  others: string[];
}

/** The same text may stand in other places with other spaces. */
const spaced = (text: string): string => text.replaceAll(/\s+/gu, ' ').trim();
/** Words come without their punctuation. */
const letters = (text: string): string => text.replaceAll(/[^\p{L}\p{N}\p{S}]/gu, '');

/** All that is judged of a transcript. What only repeats its text adds nothing. */
export function contentsOf(value: JsonObject): Content[] {
  const { text, segments, words, tokens, others } = seenIn(transcript, value);
  const whole = text.join('\n');
  const base = whole === '' ? segments.join('') : whole;
  const isRepeat = (parts: readonly string[]): boolean =>
    [parts.join(''), parts.join(' ')].some((joined) => spaced(joined) === spaced(base));
  const contents: Content[] = [];
  if (whole !== '') contents.push({ kind: 'text', text: whole });
  if (segments.length > 0 && !(whole !== '' && isRepeat(segments))) contents.push(partsOf(segments));
  if (words.length > 0 && letters(words.join('')) !== letters(base)) contents.push(partsOf(words));
  if (tokens.length > 0 && !isRepeat(tokens)) contents.push(partsOf(tokens));
  if (others.length > 0) contents.push({ kind: 'text', text: others.join('\n') });
  return contents;
}

/** A reader may read over the breaks between parts. */
const partsOf = (parts: readonly string[]): Content => ({
  kind: 'text',
  text: parts.join('\n'),
  ...(parts.length > 1 ? { joined: parts.join('') } : {}),
});

function seenIn(of: Compiled, value: unknown): Seen {
  const seen: Seen = { text: [], segments: [], words: [], tokens: [], others: [] };
  of.visit(value, '', new TranscriptSight(seen));
  return seen;
}

class TranscriptSight implements Sight {
  constructor(private readonly seen: Seen) {}

  text(path: string, text: string): void {
    if (/(^|\.)logprobs\.\d+\.token$/.test(path)) this.seen.tokens.push(text);
    else if (path.startsWith('segments.')) this.seen.segments.push(text);
    else if (path.startsWith('words.')) this.seen.words.push(text);
    else this.seen.text.push(text);
  }

  /** No declaration here has JSON in a string, or an image. */
  encoded(): void {}
  image(): void {}
  /** An id or a language. */
  name(): void {}

  open(_: string, value: unknown): void {
    this.seen.others.push(...stringsIn(value));
  }

  unknown(_path: string, name: string, value: unknown): void {
    this.seen.others.push(name, ...stringsIn(value));
  }
}

/** What the events of one stream add. Its segments and its end repeat what came before them. */
export class TranscriptTexts {
  private readonly paths = new Map<string, string[]>();
  /** Of segments, in their order. */
  private readonly segments: string[] = [];
  private readonly others = new Set<string>();

  add(event: JsonObject): FrameText[] {
    const { text, tokens, others } = seenIn(transcriptEvent, event);
    const said = text.join('\n');
    const path = pathOf(event);
    const added: FrameText[] = said !== '' && !this.isRepeat(event, said) ? [{ path, text: said }] : [];
    this.remember(event, path, said);
    const token = tokens.join('');
    if (token !== '' && spaced(token) !== spaced(said)) added.push({ path: 'logprobs', text: token, beside: true });
    const fresh = others.filter((other) => !this.others.has(other));
    if (fresh.length > 0) added.push({ path: 'others', text: `${fresh.join('\n')}\n`, beside: true });
    for (const other of fresh) if (this.others.size < SEGMENTS_MAX) this.others.add(other);
    return added;
  }

  private isRepeat(event: JsonObject, said: string): boolean {
    const is = (parts: readonly string[]): boolean =>
      [parts.join(''), parts.join(' ')].some((joined) => spaced(joined) === spaced(said));
    if (event.type === SEGMENT_DONE) return is(this.paths.get(pathOf({ segment_id: event.id })) ?? []);
    if (event.type !== DONE) return false;
    const parts = [...this.paths.values()].map((deltas) => deltas.join(''));
    return is(parts) || is(this.segments);
  }

  private remember({ type }: JsonObject, path: string, said: string): void {
    if (type === SEGMENT_DONE && this.segments.length < SEGMENTS_MAX) this.segments.push(said);
    if (type !== DELTA) return;
    const parts = this.paths.get(path);
    if (parts) parts.push(said);
    else if (this.paths.size < SEGMENTS_MAX) this.paths.set(path, [said]);
  }
}

/** Where an event's text stands: a delta by its segment. */
export function pathOf({ type, id, segment_id: segment }: JsonObject): string {
  if (type === SEGMENT_DONE) return `segment.${String(id as string | number)}`;
  if (type === DONE) return DONE;
  return typeof segment === 'string' || typeof segment === 'number' ? `${TEXT}.${segment}` : TEXT;
}

/** The cues of a transcript, as far as it has any. */
export function cuesIn({ segments }: JsonObject): { start: number; end: number; text: string }[] {
  return valuesIn(segments).flatMap((segment) => {
    if (!isObject(segment) || typeof segment.text !== 'string') return [];
    const { start, end, text } = segment;
    return [{ start: typeof start === 'number' ? start : 0, end: typeof end === 'number' ? end : 0, text }];
  });
}
