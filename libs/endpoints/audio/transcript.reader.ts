import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp, type ToldError } from '#libs/contracts/help.js';
import type { Put } from '../compile.js';
import { holdsAny, replacedIn, StreamTexts, TakenOut, type Replacement } from '../content.js';
import {
  MisshapenAnswer,
  type AnsweredTicket,
  type AnswerOf,
  type AnswerReader,
  type Ending,
  type Frame,
  type Report,
  type Shown,
  type Whole,
} from '../endpoint.js';
import { JSON_TYPE, STREAM_TYPE } from '../event.stream.js';
import { isAnyIn } from '../findings.js';
import { isObject, valuesIn, type JsonObject } from '../json.js';
import { errorIn, eventObject, objectOf, refuseStream, UnreadableEvents } from '../misshapen.js';
import { PairJoiner, wellFormed } from '../surrogates.js';
import { DELTA, DONE, SEGMENT_DONE } from './answer.declaration.js';
import type { Format } from './models.js';
import { srt, vtt } from './subtitles.js';
import { contentsOf, cuesIn, pathOf, transcript, transcriptEvent, TranscriptTexts } from './transcript.texts.js';
import { secondsOf, tokensOf } from './usage.js';

const PLAIN_TYPE = 'text/plain; charset=utf-8';
const LAST_DATA = '[DONE]';
/** Of the fullest form, which is asked for its length: what a visitor who asked for less does not see. */
const BESIDE_TEXT = new Set(['task', 'language', 'duration', 'segments', 'words']);
const TYPES = new Set<unknown>([DELTA, SEGMENT_DONE, DONE]);

const LAST_FRAME = `data: {"type":"${DONE}"`;
const ERROR_FRAME = 'event: error\n';

/** OpenAI's form of an error in the middle of a stream of sound or text. */
export const streamError = (body: ToldError): string => `${ERROR_FRAME}data: ${JSON.stringify(body)}\n\n`;

/** Nothing of a stream follows these frames. A text cannot look so: JSON escapes its quotes and line breaks. */
export function isLast(frames: string): boolean {
  const last = frames.slice(frames.lastIndexOf('\n\n', frames.length - 3) + 1).trimStart();
  return last.startsWith(LAST_FRAME) || last.startsWith(ERROR_FRAME);
}

/** The type stands first, so that `isLast` finds it. */
export const frameText = ({ type, ...event }: JsonObject): string => `data: ${JSON.stringify({ type, ...event })}\n\n`;

const stopped = (): DaypassError =>
  new DaypassError('moderation_blocked', 'Moderation took the answer away. The call was charged.', {
    details: { direction: 'output' },
  });

/** Reads one transcript, whole or in events, and writes it in the form that the visitor asked for. */
export class TranscriptReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  done = false;
  private readonly format: Format | undefined;
  private readonly texts = new TranscriptTexts();
  private readonly unreadable = new UnreadableEvents();
  private readonly taken = new TakenOut();
  private readonly pairs = new PairJoiner();
  private begun = false;

  constructor(
    private readonly ticket: AnsweredTicket,
    of?: AnswerOf,
  ) {
    this.format = isObject(of?.sent) ? ((of.sent.response_format as Format | undefined) ?? 'json') : undefined;
  }

  whole(bytes: Uint8Array, contentType: string): Whole {
    if (contentType.startsWith(STREAM_TYPE)) throw new MisshapenAnswer('a stream for a whole answer');
    const json = new TextDecoder().decode(bytes);
    const value = wellFormed(objectOf(json), json);
    if (typeof value.text !== 'string') throw new MisshapenAnswer('JSON that is no transcript');
    this.take(value);
    const shown = this.projected(value);
    return {
      contents: contentsOf(shown),
      provider: [],
      seen: [value.text],
      shown: (replacements) => {
        const replaced = replacements.length > 0 ? transcriptReplaced(shown, replacements) : shown;
        return replaced && this.written(replaced);
      },
      blocked: () => ({ contentType: JSON_TYPE, status: stopped().status, body: JSON.stringify(stopped().body()) }),
    };
  }

  event({ data }: { data: string }): readonly Frame[] {
    if (this.done || data === LAST_DATA) return [];
    const event = eventObject(data);
    // What cannot be read cannot be judged, so nothing of it is shown.
    if (!event) {
      this.unreadable.skipOne(this.begun);
      return [];
    }
    this.unreadable.readOne();
    const error = errorIn(event);
    if (error) return refuseStream(error, this.begun);
    this.begun ||= TYPES.has(event.type);
    // A stream that has not begun may still be an error, which is not told in the middle of one.
    if (!this.begun) return [];
    if (event.type === DONE) {
      this.done = true;
      this.take(event);
    }
    const shown = this.joined(wellFormed(event, event.type === DELTA ? '' : data));
    return [{ text: frameText(shown), texts: this.texts.add(shown), provider: [], closing: this.done }];
  }

  end(): readonly Frame[] {
    if (!this.begun) throw new MisshapenAnswer('a stream without a part of a transcript');
    if (!this.done) throw new Error('the stream ended before its last event');
    return [];
  }

  /**
   * A text may begin in one frame and end in another. A text that changes goes as a whole into the first frame that held
   * some of it. What was taken out once is taken out of the end, too, which repeats it.
   */
  redacted(frames: readonly string[], replacements: readonly Replacement[]): readonly string[] | null {
    const all = this.taken.with(replacements);
    const events = frames.map((frame) => eventObject(frame.replace(/^data: /, '').trimEnd()));
    const deltas = new StreamTexts();
    for (const event of events)
      if (event?.type === DELTA && typeof event.delta === 'string')
        deltas.add([{ path: pathOf(event), text: event.delta }]);
    const changed = new Map(
      deltas.byPath().flatMap(({ path, text }) => {
        const replaced = replacedIn(text, all);
        return replaced === text ? [] : [[path, replaced] as const];
      }),
    );
    const given = new Set<string>();
    const left = new StreamTexts();
    const replace = (text: string): string => replacedIn(text, all);
    const shown = frames.map((frame, index) => {
      const event = events[index];
      if (!event) return frame;
      const replaced = transcriptEvent.replaced(event, '', putOf(replace)) as JsonObject;
      const path = pathOf(event);
      if (event.type === DELTA && changed.has(path)) {
        replaced.delta = given.has(path) ? '' : changed.get(path);
        given.add(path);
      }
      const told = withoutTokens(replaced, event, all);
      left.add(new TranscriptTexts().add(told));
      return frameText(told);
    });
    return holdsAny(left.contents(), all) ? null : shown;
  }

  /** This API has no word for an answer that was taken away. */
  ending(why: Ending): string {
    const error = why.kind === 'error' ? why.error : stopped();
    return streamError(withHelp(error.body(), this.ticket.origin));
  }

  private take(value: JsonObject): void {
    const { price, facts } = this.ticket;
    const inTokens = tokensOf(value.usage);
    const seconds = secondsOf(value) ?? (typeof facts.seconds === 'number' ? facts.seconds : null);
    if (price?.audioInput !== undefined) this.report.metered = inTokens;
    else if (price?.seconds !== undefined) this.report.metered = seconds === null ? null : { seconds };
    else this.report.metered = inTokens ?? (seconds === null ? null : { seconds });
  }

  /** What the visitor asked for, of the form that the upstream was asked for. Only that is judged and shown. */
  private projected(value: JsonObject): JsonObject {
    switch (this.format) {
      case 'text':
        return { text: value.text };
      case 'srt':
      case 'vtt':
        return { segments: this.cuesOf(value) };
      case 'json':
        return Object.fromEntries(Object.entries(value).filter(([name]) => !BESIDE_TEXT.has(name)));
      default:
        return value;
    }
  }

  /** Of an upstream that tells no times: the whole text from the beginning to the end. */
  private cuesOf(value: JsonObject): readonly JsonObject[] {
    const cues = cuesIn(value);
    if (cues.length > 0 || value.text === '') return cues.map((cue) => ({ ...cue }));
    return [{ start: 0, end: secondsOf(value) ?? Number(this.ticket.facts.seconds ?? 0), text: value.text }];
  }

  private written(value: JsonObject): Shown {
    switch (this.format) {
      case 'text':
        return { contentType: PLAIN_TYPE, body: `${value.text as string}\n` };
      case 'srt':
        return { contentType: PLAIN_TYPE, body: srt(cuesIn(value)) };
      case 'vtt':
        return { contentType: PLAIN_TYPE, body: vtt(cuesIn(value)) };
      default:
        return { contentType: JSON_TYPE, body: JSON.stringify(value) };
    }
  }

  /** Halves of a surrogate pair may come in two deltas. */
  private joined(event: JsonObject): JsonObject {
    if (event.type !== DELTA) return event;
    const joined = (path: string, part: string): string =>
      (path === 'delta' ? this.pairs.joined(pathOf(event), part) : part).toWellFormed();
    return transcriptEvent.replaced(event, '', {
      text: joined,
      key: (name) => name.toWellFormed(),
      encoded: (_, text) => text,
    }) as JsonObject;
  }
}

const putOf = (replace: (text: string) => string): Put => ({
  text: (_, text) => replace(text),
  key: replace,
  encoded: (_, text) => text,
});

/** null: something cannot be taken out of it. */
function transcriptReplaced(value: JsonObject, replacements: readonly Replacement[]): JsonObject | null {
  const replace = (text: string): string => replacedIn(text, replacements);
  const replaced = transcript.replaced(value, '', putOf(replace)) as JsonObject;
  const shown = withoutTokens(replaced, value, replacements);
  return holdsAny(contentsOf(shown), replacements) ? null : shown;
}

/** Tokens and single words beside a text would show what was taken out of it. `before`: the same with it. */
function withoutTokens(replaced: JsonObject, before: JsonObject, replacements: readonly Replacement[]): JsonObject {
  const isIn = (list: unknown, field: string): boolean => {
    const parts = valuesIn(list).map((one) => (isObject(one) ? String(one[field] as string) : ''));
    return isAnyIn([parts.join(' '), parts.join('')], replacements);
  };
  const { logprobs, words, segments, ...rest } = replaced;
  return {
    ...rest,
    ...(segments === undefined ? {} : { segments: Array.isArray(segments) ? segments.map(withoutIds) : segments }),
    ...(words === undefined || isIn(before.words, 'word') ? {} : { words }),
    ...(logprobs === undefined || isIn(before.logprobs, 'token') ? {} : { logprobs }),
  };
}

const withoutIds = (segment: unknown): unknown =>
  isObject(segment) && segment.tokens !== undefined ? { ...segment, tokens: [] } : segment;
