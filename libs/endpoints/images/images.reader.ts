import type { OwnForm } from '#libs/contracts/errors.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp, type ToldError } from '#libs/contracts/help.js';
import { compile, type Compiled, type Put, type Sight } from '../compile.js';
import { replacedIn, TakenOut, type Content, type FrameText, type Replacement } from '../content.js';
import { stringsIn } from '../encoded.js';
import {
  MisshapenAnswer,
  type AnsweredTicket,
  type AnswerReader,
  type Ending,
  type Frame,
  type Report,
  type Shown,
  type Whole,
} from '../endpoint.js';
import { JSON_TYPE, STREAM_TYPE } from '../event.stream.js';
import { isObject, type JsonObject } from '../json.js';
import { addressOf, fitsOf } from '../leaf.js';
import { LongValueScan, placeOf } from '../long.values.js';
import { errorIn, eventObject, objectOf, refuseStream, UnreadableEvents } from '../misshapen.js';
import { IMAGES_ANSWER, IMAGES_EVENT } from './answer.declaration.js';
import { OUTPUTS_MAX } from './sizes.js';
import { readUsage } from './usage.js';

/** Of one answer, whole or streamed, as it arrives. */
export const ANSWER_BYTES_MAX = 50_331_648;
const IMAGES = {
  name: 'b64_json',
  many: 'images',
  tooLong: 'an image of too many bytes',
  bytesMax: ANSWER_BYTES_MAX,
};
/** Nobody has judged what an address leads to, and the identifier is Daypass's own. */
const LEFT_OUT = new Set(['url', 'safety_identifier']);

const COMPLETED = /^image_(generation|edit)\.completed$/;
const LAST_TYPE = /^event: (image_(generation|edit)\.completed|error)\n/;
/** An event's type, which could otherwise end the line that it stands in. */
const TYPE = /^[a-z0-9_.]{1,100}$/;

const answer = compile(IMAGES_ANSWER);
const event = compile(IMAGES_EVENT);
const isImage = fitsOf({ kind: 'image', bare: true });

/** As OpenAI refuses what its own moderation stops. */
export const blockedForm = (stage: 'input' | 'output', categories: readonly string[]): OwnForm => ({
  type: 'image_generation_user_error',
  moderation_details: { categories, moderation_stage: stage },
});

interface Made {
  /** Its base64, without quotes. */
  base64: Uint8Array;
  content: Content;
}

/** Reads the images of one answer, whole or in the events of a stream. */
export class ImagesReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  done = false;
  private begun = false;
  private arrived = 0;
  private readonly images: Made[] = [];
  private readonly scan = new LongValueScan(IMAGES, (form, json) => this.take(form, json));
  private readonly unreadable = new UnreadableEvents();
  private readonly taken = new TakenOut();

  constructor(private readonly ticket: Pick<AnsweredTicket, 'facts' | 'origin'>) {}

  add(piece: Uint8Array): void {
    this.arrived += piece.byteLength;
    if (this.arrived > ANSWER_BYTES_MAX) throw tooLarge();
    this.scan.read(piece);
  }

  whole(last: Uint8Array, contentType: string): Whole {
    if (contentType.startsWith(STREAM_TYPE)) throw new MisshapenAnswer('a stream for a whole answer');
    this.add(last);
    const { data, ...rest } = objectOf(this.scan.restText());
    this.readReport(rest);
    const items = this.itemsIn(data);
    const head = without(rest);
    const headTexts = contentsOf(textsIn(answer, head));
    const parts = items.map((item, index) => [
      this.images[index]!.content,
      ...contentsOf(textsIn(answer, { data: [item] })),
      // Whatever else it says stands with each of them.
      ...headTexts,
    ]);
    return {
      contents: parts.flat(),
      parts,
      provider: [],
      seen: [],
      shown: (replacements, left = new Set()) => ({
        contentType: JSON_TYPE,
        body: this.written(head, items, replacements, left),
      }),
      blocked: (categories = []) => blockedWhole(categories),
    };
  }

  event({ data }: { data: string }): readonly Frame[] {
    if (this.done) return [];
    const read = eventObject(data);
    const type = read?.type;
    const error = read && errorIn(read);
    if (error) refuseStream(error, this.begun);
    if (!read || typeof type !== 'string' || !TYPE.test(type)) {
      this.unreadable.skipOne(this.begun);
      return [];
    }
    this.unreadable.readOne();
    const isKnown = type.startsWith('image_');
    if (isKnown && !isImage(read.b64_json)) refuseStream({ message: 'The upstream sent no image.' }, this.begun);
    this.begun = true;
    const shown = without(read);
    if (COMPLETED.test(type)) {
      this.readReport(shown);
      this.done = true;
    }
    const images: Content[] = isImage(read.b64_json)
      ? [{ kind: 'image', url: addressOf(read.b64_json as string) }]
      : [];
    return [{ text: frameOf(shown), texts: textsIn(event, shown), images, provider: [], closing: this.done }];
  }

  end(): readonly Frame[] {
    if (!this.begun) throw new MisshapenAnswer('a stream without an image');
    if (!this.done) throw new Error('the stream ended before its last image');
    return [];
  }

  redacted(frames: readonly string[], replacements: readonly Replacement[]): readonly string[] {
    const put = putting(this.taken.with(replacements));
    return frames.map((frame) => {
      const read = eventObject(frame.slice(frame.indexOf('data: ') + 6));
      return read ? frameOf(event.replaced(read, '', put) as JsonObject) : frame;
    });
  }

  ending(why: Ending): string {
    const error = why.kind === 'error' ? why.error : blockedError(why.categories ?? []);
    return streamError(withHelp(error.body(), this.ticket.origin));
  }

  private take(form: 'string' | 'numbers', json: Buffer): void {
    const base64 = json.subarray(1, -1);
    const text = base64.toString('latin1');
    if (form === 'numbers' || !isImage(text)) throw new MisshapenAnswer('an image that is none');
    if (this.images.length === OUTPUTS_MAX) throw new MisshapenAnswer('more images than anybody can ask for');
    this.images.push({ base64, content: { kind: 'image', url: addressOf(text) } });
  }

  private itemsIn(data: unknown): readonly JsonObject[] {
    if (!Array.isArray(data) || data.length === 0 || data.length !== this.images.length)
      throw new MisshapenAnswer('JSON that has no images');
    return data.map((item: unknown, index) => {
      if (!isObject(item) || item.b64_json !== placeOf(index)) throw new MisshapenAnswer('an image in a wrong place');
      const { b64_json: _, ...beside } = item;
      return without(beside);
    });
  }

  private readReport({ usage, model }: JsonObject): void {
    this.report.metered = readUsage(usage, Number(this.ticket.facts.inputImages ?? 0) > 0);
    if (typeof model === 'string') this.report.model = model;
  }

  /** The images are shown as they came: they are nothing but base64. */
  private written(
    head: JsonObject,
    items: readonly JsonObject[],
    replacements: readonly Replacement[],
    left: ReadonlySet<number>,
  ): readonly Uint8Array[] {
    const put = putting(replacements);
    const replaced = answer.replaced(head, '', put) as JsonObject;
    const pieces: Uint8Array[] = [];
    for (const [index, item] of items.entries()) {
      if (left.has(index)) continue;
      const [shown] = (answer.replaced({ data: [item] }, '', put) as { data: [JsonObject] }).data;
      const beside = JSON.stringify(shown).slice(1);
      const begin = `${pieces.length === 0 ? '' : ','}{"b64_json":"`;
      const end = beside === '}' ? '"}' : `",${beside}`;
      pieces.push(Buffer.from(begin), this.images[index]!.base64, Buffer.from(end));
    }
    const rest = JSON.stringify(replaced).slice(1);
    return [Buffer.from('{"data":['), ...pieces, Buffer.from(rest === '}' ? ']}' : `],${rest}`)];
  }
}

/** OpenAI's form of an error in the middle of a stream. */
export const streamError = ({ error }: ToldError): string => frameOf({ type: 'error', error });

/** Whether nothing of a stream follows these frames of it. */
export function isLast(frames: string): boolean {
  const start = frames.lastIndexOf('\n\n', frames.length - 3);
  return frames.endsWith('\n\n') && LAST_TYPE.test(frames.slice(start < 0 ? 0 : start + 2).slice(0, 200));
}

/** One event as a visitor gets it. */
const frameOf = (shown: JsonObject): string => `event: ${shown.type as string}\ndata: ${JSON.stringify(shown)}\n\n`;

const without = (value: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !LEFT_OUT.has(name)));

/** All texts beside the images, by path. */
function textsIn(of: Compiled, value: JsonObject): FrameText[] {
  const texts: FrameText[] = [];
  const add = (path: string, text: string): void => void (text !== '' && texts.push({ path, text }));
  const sight: Sight = {
    text: add,
    encoded: add,
    open: (path, inner) => add(path, stringsIn(inner).join('\n')),
    unknown: (path, name, inner) => add(`${path}.${name}`, `${stringsIn({ [name]: inner }).join('\n')}\n`),
    // Ids of the provider's, and images, which are judged by themselves.
    name: () => undefined,
    image: () => undefined,
  };
  of.visit(value, '', sight);
  return texts;
}

const contentsOf = (texts: readonly FrameText[]): Content[] => texts.map(({ text }) => ({ kind: 'text', text }));

function putting(replacements: readonly Replacement[]): Put {
  const replace = (text: string): string => replacedIn(text, replacements);
  return { text: (_, text) => replace(text), encoded: (_, text) => replace(text), key: replace };
}

function blockedError(categories: readonly string[]): DaypassError {
  const named = categories.length === 0 ? '' : ` (${categories.join(', ')})`;
  return new DaypassError('moderation_blocked', `Moderation took what the model made away${named}. It was charged.`, {
    form: blockedForm('output', categories),
    details: { direction: 'output', categories },
  });
}

function blockedWhole(categories: readonly string[]): Shown {
  const error = blockedError(categories);
  return { status: error.status, contentType: JSON_TYPE, body: JSON.stringify(error.body()) };
}

function tooLarge(): DaypassError {
  return new DaypassError(
    'invalid_request',
    `The answer is larger than ${ANSWER_BYTES_MAX} bytes, the most that Daypass passes on. Ask for fewer or smaller images, or for jpeg or webp. It was charged.`,
    { param: 'size' },
  );
}
