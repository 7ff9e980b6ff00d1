import type { Sight } from './compile.js';
import type { Content } from './content.js';
import { unescaped, walkOpen } from './encoded.js';

/** What is judged and counted of one part of a request, such as a message. */
export class RequestSight implements Sight {
  readonly judged: string[] = [];
  readonly counted: string[] = [];
  readonly images: string[] = [];

  /** `joins`: a model may read over the breaks between its texts. */
  constructor(private readonly joins = false) {}

  text(_: string, text: string): void {
    this.judged.push(text);
    this.counted.push(text);
  }

  encoded(_: string, text: string): void {
    this.judged.push(unescaped(text));
    this.counted.push(text);
  }

  open(path: string, value: unknown): void {
    const add = (_: string, text: string): void => void (text !== '' && this.judged.push(text));
    walkOpen(value, path, { key: add, text: add });
    this.counted.push(JSON.stringify(value));
  }

  unknown(path: string, name: string, value: unknown): void {
    this.open(path, { [name]: value });
  }

  name(text: string): void {
    this.counted.push(text);
  }

  image(url: string): void {
    this.images.push(url);
  }

  /** Its texts are judged as one, so that a thousand crumbs do not cost a thousand verdicts. */
  contents(): Content[] {
    const { judged, images } = this;
    const shown = images.map((url): Content => ({ kind: 'image', url }));
    if (judged.length === 0) return shown;
    const joined = this.joins && judged.length > 1 ? { joined: judged.join('') } : {};
    return [{ kind: 'text', text: judged.join('\n'), ...joined }, ...shown];
  }
}
