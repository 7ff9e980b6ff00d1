import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import type { Meter, Metered } from '#libs/money/cost.js';
import {
  MisshapenAnswer,
  type AnsweredTicket,
  type AnswerReader,
  type Ending,
  type Flow,
  type Frame,
  type Report,
  type Whole,
} from '../endpoint.js';
import { STREAM_TYPE } from '../event.stream.js';
import { isObject, type JsonObject } from '../json.js';
import { errorIn, eventObject, objectOf, refuseStream, UnreadableEvents } from '../misshapen.js';
import { countIn } from '../usage.js';
import { SOUND_DELTA, SOUND_DONE } from './answer.declaration.js';
import { spokenBy } from './models.js';
import { SPEECH_FORMATS, type SpeechFormat } from './request.declaration.js';
import { frameText, streamError } from './transcript.reader.js';

const TYPES: Readonly<Record<SpeechFormat, string>> = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
};
/** About the bytes of a second of speech, as OpenAI encodes it. */
export const BYTES_OF_SECOND: Readonly<Record<SpeechFormat, number>> = {
  mp3: 16_000,
  opus: 8_000,
  aac: 16_000,
  flac: 32_000,
  wav: 48_000,
  pcm: 48_000,
};
/** What OpenAI's price for a minute and its price for a million tokens come to. */
const TOKENS_OF_SECOND = 21;
const CHARACTERS_OF_TOKEN = 4;
const NOTHING = new Uint8Array();
const LAST_DATA = '[DONE]';
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** How text and JSON begin. No sound of any format begins so. */
const TEXT_TYPE = /^(text|application\/(json|xml|xhtml))/i;

/** Reads sound, in bytes or in events, and passes it on in the form that the visitor asked for. Keeps nothing of it. */
export class SpeechReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  done = false;
  private readonly unreadable = new UnreadableEvents();
  private readonly format: SpeechFormat;
  private readonly meter: Extract<Meter, 'characters' | 'audioOutput' | 'output'>;
  /** Of sound that came. */
  private bytes = 0;

  constructor(private readonly ticket: AnsweredTicket) {
    const { facts, price, model } = ticket;
    this.format = SPEECH_FORMATS[Number(facts.format ?? 0)] ?? 'mp3';
    const priced = (meter: Meter): boolean => price !== undefined && price[meter as keyof typeof price] !== undefined;
    this.meter = spokenBy(model, priced);
  }

  /** What is no sound says why. */
  whole(bytes: Uint8Array): Whole {
    objectOf(new TextDecoder().decode(bytes));
    throw new MisshapenAnswer('JSON for sound');
  }

  flow(type: string): Flow | null {
    const inEvents = type.startsWith(STREAM_TYPE);
    if (!inEvents && TEXT_TYPE.test(type)) return null;
    return {
      contentType: TYPES[this.format],
      inEvents,
      bytes: (part) => {
        this.bytes += part.byteLength;
        return part;
      },
      event: ({ data }) => {
        const event = this.read(data);
        return event?.type === SOUND_DELTA ? Buffer.from(event.audio as string, 'base64') : NOTHING;
      },
      end: () => {
        if (inEvents) return void this.end();
        if (this.bytes === 0) throw new MisshapenAnswer('no sound');
        this.take(null);
      },
    };
  }

  event({ data }: { data: string }): readonly Frame[] {
    const event = this.read(data);
    if (!event) return [];
    return event.type === SOUND_DONE
      ? [frameOf(doneOf(event), true)]
      : [frameOf({ type: SOUND_DELTA, audio: event.audio as string }, false)];
  }

  end(): readonly Frame[] {
    if (this.bytes === 0) throw new MisshapenAnswer('a stream without sound');
    if (!this.done) throw new Error('the stream ended before its last event');
    return [];
  }

  redacted(): never {
    throw new Error('sound holds nothing that could be taken out');
  }

  ending(why: Ending): string {
    const error =
      why.kind === 'error' ? why.error : new DaypassError('moderation_blocked', 'Moderation took the answer away.');
    return streamError(withHelp(error.body(), this.ticket.origin));
  }

  /** By its bytes, and the text. */
  cut(): Metered | null {
    if (this.bytes === 0) return null;
    const characters = Number(this.ticket.facts.characters ?? 0);
    if (this.meter === 'characters') return { characters };
    const tokens = Math.ceil((this.bytes / BYTES_OF_SECOND[this.format]) * TOKENS_OF_SECOND);
    return { input: this.ticket.inputTokens ?? Math.ceil(characters / CHARACTERS_OF_TOKEN), [this.meter]: tokens };
  }

  /** An event of sound, or the last one; null: any other. Nobody judges them, so that nothing unknown is shown. */
  private read(data: string): JsonObject | null {
    if (this.done || data === LAST_DATA) return null;
    const event = eventObject(data);
    if (!event) {
      this.unreadable.skipOne(this.bytes > 0);
      return null;
    }
    this.unreadable.readOne();
    const error = errorIn(event);
    if (error) return refuseStream(error, this.bytes > 0);
    if (event.type === SOUND_DELTA) {
      const { audio } = event;
      if (typeof audio !== 'string' || !BASE64.test(audio))
        return refuseStream({ message: 'The upstream sent sound that is no base64.' }, this.bytes > 0);
      this.bytes += Buffer.byteLength(audio, 'base64');
      return event;
    }
    if (event.type !== SOUND_DONE || this.bytes === 0) return null;
    this.done = true;
    this.take(event.usage);
    return event;
  }

  /** All of it came. null: nobody says what it cost. */
  private take(usage: unknown): void {
    const { facts } = this.ticket;
    if (this.meter === 'characters') {
      this.report.metered = { characters: Number(facts.characters ?? 0) };
      return;
    }
    const input = isObject(usage) ? countIn(usage.input_tokens) : null;
    const output = isObject(usage) ? countIn(usage.output_tokens) : null;
    this.report.metered = input === null || output === null ? null : { input, [this.meter]: output };
  }
}

/** Only counts: whatever else stands in the end is nobody's to show. */
function doneOf({ usage }: JsonObject): JsonObject {
  const counts = isObject(usage)
    ? Object.entries(usage).filter(([name, value]) => COUNTS.has(name) && isCount(value))
    : [];
  return { type: SOUND_DONE, ...(counts.length > 0 ? { usage: Object.fromEntries(counts) } : {}) };
}

const COUNTS = new Set(['input_tokens', 'output_tokens', 'total_tokens']);
const isCount = (value: unknown): boolean => countIn(value) !== null;
const frameOf = (event: JsonObject, closing: boolean): Frame => ({
  text: frameText(event),
  texts: [],
  provider: [],
  closing,
});

/** Nothing of a stream of sound follows these frames. */
export function isLast(frames: string): boolean {
  const last = frames.slice(frames.lastIndexOf('\n\n', frames.length - 3) + 1).trimStart();
  return last.startsWith(`data: {"type":"${SOUND_DONE}"`) || last.startsWith('event: error\n');
}
