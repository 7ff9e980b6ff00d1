import type { Sight } from './compile.js';
import type { Content } from './content.js';
import { unescaped, walkOpen } from './encoded.js';

/** Ingress counts and moderation judges, so that what only a judge needs is made there alone. */
type Seen = { kind: 'text' | 'encoded' | 'name'; text: string } | { kind: 'open'; value: unknown };

/** What is judged and counted of one part of a request, such as a message. */
export class RequestSight implements Sight {
  private whole: unknown;
  private readonly seen: Seen[] = [];
  private readonly images: string[] = [];
  /** Of what nobody but its provider can read. */
  opaqueCharacters = 0;

  /** `joins`: a model may read over the breaks between its texts. */
  constructor(private readonly joins = false) {}

  text(_: string, text: string): void {
    this.seen.push({ kind: 'text', text });
  }

  encoded(_: string, text: string): void {
    this.seen.push({ kind: 'encoded', text });
  }

  open(_: string, value: unknown): void {
    this.seen.push({ kind: 'open', value });
  }

  unknown(path: string, name: string, value: unknown): void {
    this.open(path, { [name]: value });
  }

  name(text: string): void {
    this.seen.push({ kind: 'name', text });
  }

  image(_: string, url: string): void {
    this.images.push(url);
  }

  opaque(text: string): void {
    this.opaqueCharacters += text.length;
  }

  /** A model reads all of the value, with its words and punctuation. */
  readsAllOf(value: unknown): void {
    this.whole = value;
  }

  /** The texts that its tokens are counted from. */
  counted(): string[] {
    if (this.seen.length === 0) return [];
    if (this.whole !== undefined) return [JSON.stringify(this.whole)];
    return this.seen.map((one) => (one.kind === 'open' ? JSON.stringify(one.value) : one.text));
  }

  /** Its texts are judged as one, so that a thousand crumbs do not cost a thousand verdicts. */
  contents(): Content[] {
    const { seen, images } = this;
    // As most messages are.
    if (seen.length === 1 && images.length === 0 && seen[0]!.kind === 'text') return [seen[0] as Content];
    const judged = this.judged();
    const shown = images.map((url): Content => ({ kind: 'image', url }));
    if (judged.length === 0) return shown;
    const joined = this.joins && judged.length > 1 ? { joined: judged.join('') } : {};
    return [{ kind: 'text', text: judged.join('\n'), ...joined }, ...shown];
  }

  private judged(): string[] {
    const texts: string[] = [];
    const add = (_: string, text: string): void => void (text !== '' && texts.push(text));
    for (const one of this.seen) {
      if (one.kind === 'open') walkOpen(one.value, '', { key: add, text: add });
      else if (one.kind !== 'name') texts.push(one.kind === 'encoded' ? unescaped(one.text) : one.text);
    }
    return texts;
  }
}
