import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp, type ToldError } from '#libs/contracts/help.js';
import type { Metered } from '#libs/money/cost.js';
import { holdsAny, StreamTexts, TakenOut, type Replacement } from '../content.js';
import {
  MisshapenAnswer,
  UpstreamStreamError,
  type AnsweredTicket,
  type AnswerOf,
  type AnswerReader,
  type Ending,
  type Frame,
  type ProviderVerdict,
  type Report,
  type Shown,
  type Whole,
} from '../endpoint.js';
import { JSON_TYPE, STREAM_TYPE } from '../event.stream.js';
import { isObject, valuesIn, type JsonObject } from '../json.js';
import { fitsOf } from '../leaf.js';
import { anyObjectOf, errorIn, eventObject, refuseStream, UnreadableEvents } from '../misshapen.js';
import { verdictsIn } from '../provider.verdict.js';
import type { Shelved } from '../shelved.js';
import { wellFormed } from '../surrogates.js';
import { AnswerTexts, isTextless } from './answer.texts.js';
import { EventSurrogates } from './event.surrogates.js';
import { ShownResponse } from './fold.js';
import { codexError, errorFrame, eventOf, frameOf, isType, numbered } from './frames.js';
import { Life } from './life.js';
import { CREATED, FAILED, IN_PROGRESS, isLastType, isOfLife } from './places.js';
import { eventsReplaced, responseReplaced } from './redaction.js';
import { shelvedOf, unshelved } from './shelving.js';
import { UnshownEvents } from './unshown.js';
import { readImages, readUsage, reasoningTokens, searchesIn, writtenUsage } from './usage.js';

/** More items than any answer has. */
const OUTPUTS_MAX = 10_000;
/**
 * Each of these events repeats the visitor's own instructions and tools. OpenAI sends two before the last one. What an
 * upstream sends beyond this many makes a stream no larger.
 */
const RESPONSES_SHOWN_MAX = 8;
const IMAGE_EVENT = 'response.image_generation_call.partial_image';
/** A client acts on what these say, so each waits for the verdict on it. */
const CLOSING = /^response\.(output_item|function_call_arguments|custom_tool_call_input|shell_call_command)\.done$/;
const isImage = fitsOf({ kind: 'image', bare: true });

/** Reads one response, whole or as a stream of events. */
export class ResponsesReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined, searches: undefined };
  done = false;
  private readonly life: Life;
  /** The upstream's first response of a stream, as it is shown; null: the stream has not begun. */
  private first: JsonObject | null = null;
  private readonly texts = new AnswerTexts();
  private readonly surrogates = new EventSurrogates();
  private readonly unshown = new UnshownEvents();
  private readonly visible = new ShownResponse();
  /** The number of the next frame that is shown. */
  private next = 0;
  /** The response as the visitor last sees it; null: it has not ended, or with an error. */
  private final: JsonObject | null = null;
  private ended = false;
  private readonly unreadable = new UnreadableEvents();
  private usage: Metered | null = null;
  /** What the images cost; null: it told nothing of them. */
  private images: Metered | null = null;
  private drew = false;
  /** Tokens that the upstream says it thought; undefined: it told none. */
  private reasoned: number | undefined;
  /** Events that had a response. */
  private responses = 0;
  private readonly taken = new TakenOut();

  constructor(
    private readonly ticket: AnsweredTicket,
    of: AnswerOf = { tag: '' },
  ) {
    this.life = new Life(ticket, of);
  }

  whole(bytes: Uint8Array, contentType: string): Whole {
    if (contentType.startsWith(STREAM_TYPE)) throw new MisshapenAnswer('a stream for a whole answer');
    const text = new TextDecoder().decode(bytes);
    const upstream = this.responseIn(text);
    const shown = this.life.response(wellFormed(upstream, text));
    const texts = new StreamTexts();
    texts.add(this.texts.ofResponse(shown));
    const ended = (response: JsonObject): Shown => {
      this.final = response;
      return { contentType: JSON_TYPE, body: JSON.stringify(response) };
    };
    return {
      contents: [...texts.contents(), ...this.texts.takeImages()],
      provider: verdictsOf(shown),
      seen: texts.texts(),
      shown: (replacements) => {
        const response = replacements.length > 0 ? responseReplaced(shown, replacements) : shown;
        return response && ended(response);
      },
      blocked: () => ended(this.stopped(shown, [], safe(shown).usage)),
    };
  }

  event({ name, data }: { name?: string | undefined; data: string }): readonly Frame[] {
    // Nothing follows the last one.
    if (this.done) return [];
    const read = eventObject(data);
    // What cannot be read cannot be judged, so nothing of it is shown.
    if (!read) return this.skip();
    const type = read.type ?? name;
    const error = type === FAILED ? this.failureIn(read.response) : errorOf(type, read);
    if (error) this.refuse(error);
    if (!isType(type)) return this.skip();
    this.unreadable.readOne();
    return this.framesOf(type, read, data);
  }

  private framesOf(type: string, read: JsonObject, data: string): readonly Frame[] {
    // In the place of an image there is nothing else that anybody could judge.
    if (type === IMAGE_EVENT && !isImage(read.partial_image_b64)) return [];
    this.drew ||= type === IMAGE_EVENT;
    const { response: upstream, ...rest } = read;
    const isTold = isObject(upstream);
    const isOneTooMany = isTold && !isLastType(type) && ++this.responses > RESPONSES_SHOWN_MAX;
    if (isOneTooMany && isOfLife(type)) return [];
    let event = this.life.event(sentAs(type, isOneTooMany ? rest : read));
    let provider: readonly ProviderVerdict[] = [];
    if (isTold && !isOneTooMany) {
      const response = this.life.response(upstream);
      event = { ...event, response };
      provider = verdictsOf(response);
      if (isOfLife(type)) this.lives(type, upstream, response);
    } else if (!isTold && isOfLife(type)) return this.refuse({ message: 'An event has no response.' });
    // The events of a response begin with the response.
    if (!this.first) throw new MisshapenAnswer('a stream that begins without a response');
    event = this.surrogates.mended(event, data);
    const texts = this.texts.ofEvent(event);
    const text = frameOf(event);
    this.unshown.add(text, event);
    const images = this.texts.takeImages();
    return [{ text, texts, images, provider, closing: this.done || CLOSING.test(type) }];
  }

  private lives(type: string, upstream: JsonObject, shown: JsonObject): void {
    this.take(upstream);
    this.first ??= shown;
    this.done = isLastType(type);
  }

  /** A response that failed may have cost something. */
  private failureIn(response: unknown): JsonObject {
    if (!isObject(response)) return {};
    this.take(response);
    return errorIn(response) ?? {};
  }

  private skip(): readonly Frame[] {
    this.unreadable.skipOne(this.first !== null);
    return [];
  }

  private refuse(error: JsonObject): never {
    return refuseStream(error, this.first !== null);
  }

  end(): readonly Frame[] {
    if (this.done) return [];
    if (!this.first) throw new MisshapenAnswer('a stream without an event');
    throw new Error('the stream ended before its last event');
  }

  show(frame: string): string {
    const event = this.unshown.take(frame) ?? eventOf(frame);
    this.visible.take(event);
    if (this.visible.isOver) this.ends(this.visible.head);
    return numbered(frame, event.type as string, this.next++);
  }

  /** Clients count events, and skip comments. */
  beat(): string | null {
    const { head } = this.visible;
    if (!head || this.ended) return null;
    return this.numberedFrame({ type: IN_PROGRESS, response: { ...head, status: 'in_progress', output: [] } });
  }

  redacted(frames: readonly string[], replacements: readonly Replacement[]): readonly string[] | null {
    const all = this.taken.with(replacements);
    const events = eventsReplaced(frames.map(eventOf), all);
    if (!events?.every(({ type }) => isType(type))) return null;
    const left = new StreamTexts();
    const texts = new AnswerTexts();
    for (const event of events) left.add(texts.ofEvent(event));
    return holdsAny(left.contents(), all) ? null : events.map((event) => frameOf(event));
  }

  /** `begun`: not needed, because `show` has seen what was shown. */
  ending(why: Ending, _begun: boolean, metered: Metered | null): string {
    const { codex } = this.ticket.facts;
    const { head } = this.visible;
    this.ended = true;
    const base = head ?? this.safeHead();
    const begin = { ...base, status: 'in_progress', error: null, incomplete_details: null, output: [], usage: null };
    const types = head ? [] : [CREATED, IN_PROGRESS];
    const lead = types.map((type) => this.numberedFrame({ type, response: begin })).join('');
    if (why.kind === 'error' && codex !== true) return lead + errorFrame(this.told(why.error), this.next++);
    const usage = metered && writtenUsage(metered);
    const last =
      why.kind === 'blocked' && codex !== true
        ? { type: 'response.incomplete', response: this.stopped(base, this.visible.output, usage) }
        : { type: FAILED, response: this.failed(base, why, usage) };
    if (why.kind === 'blocked') this.ends(last.response);
    return lead + this.numberedFrame(last);
  }

  shelved(): Shelved | null {
    if (!this.final || !this.life.kept.store) return null;
    const items = valuesIn(this.final.output).filter(isObject);
    return shelvedOf(this.life, this.final, items.length > 0 ? items : this.visible.output, this.reasoned);
  }

  unshelved(shown: string): string {
    return unshelved(shown);
  }

  private numberedFrame(event: JsonObject): string {
    return frameOf(event, this.next++);
  }

  private ends(response: JsonObject | null): void {
    this.ended = true;
    this.final = response;
  }

  /** OpenAI's own form of an answer that moderation took away. */
  private stopped(base: JsonObject, output: readonly JsonObject[], usage: unknown): JsonObject {
    return {
      ...safe(base),
      status: 'incomplete',
      error: null,
      incomplete_details: { reason: 'content_filter' },
      output,
      usage: usage ?? null,
    };
  }

  private failed(base: JsonObject, why: Ending, usage: unknown): JsonObject {
    const error =
      why.kind === 'blocked'
        ? codexError(this.told(blockedError(why.categories ?? [])), false)
        : codexError(this.told(why.error), why.error.retry && !why.charged);
    return { ...base, status: 'failed', error, incomplete_details: null, output: this.visible.output, usage };
  }

  private told(error: DaypassError): ToldError {
    return withHelp(error.body(), this.ticket.origin);
  }

  private safeHead(): JsonObject {
    return { ...this.life.blank(), ...(this.first ? safe(this.first) : {}) };
  }

  private take(response: JsonObject): void {
    const { usage, service_tier: tier, model, tool_usage: tools } = response;
    // A response tells its usage at its end.
    this.usage = readUsage(usage) ?? this.usage;
    this.drew ||= valuesIn(response.output).some((item) => isObject(item) && isImage(item.result));
    this.images = readImages(tools) ?? this.images;
    this.report.metered = this.metered();
    this.reasoned = reasoningTokens(usage) ?? this.reasoned;
    this.report.searches = searchesIn(tools) ?? this.report.searches;
    if (this.usage) this.report.images = Math.max(drawingsIn(response.output), Number(this.drew));
    if (typeof tier === 'string') this.report.serviceTier = tier;
    if (typeof model === 'string') this.report.model = model;
  }

  /** null: it tells no usage, or none of the images that it made. */
  private metered(): Metered | null {
    if (!this.usage || Number(this.ticket.facts.imageCalls ?? 0) === 0) return this.usage;
    if (!this.images?.imageOutput && this.drew) return null;
    return { ...this.usage, ...this.images };
  }

  /** @throws MisshapenAnswer, or UpstreamStreamError where the upstream failed after it had worked */
  private responseIn(text: string): JsonObject {
    const read = anyObjectOf(text);
    const { output, status, object } = read;
    const isResponse = Array.isArray(output) && output.length <= OUTPUTS_MAX && (object ?? 'response') === 'response';
    const error = errorIn(read);
    if (isResponse) this.take(read);
    if (error && this.report.metered) throw new UpstreamStreamError(error);
    if (error) throw new MisshapenAnswer('an error object', error);
    const isOver = status === undefined || status === null || status === 'completed' || status === 'incomplete';
    if (!isResponse || !isOver) throw new MisshapenAnswer('JSON that is no response, or one that has not ended');
    return read;
  }
}

/** Each is a call of the model of images, also where it failed. */
const drawingsIn = (output: unknown): number =>
  valuesIn(output).filter((item) => isObject(item) && item.type === 'image_generation_call').length;

/** Without what upstreams add against those who measure lengths. */
function sentAs(type: string, event: JsonObject): JsonObject {
  if (event.obfuscation === undefined && event.type === type) return event;
  const { obfuscation: _, ...read } = event;
  return { ...read, type };
}

/** The error that an event is; null: it is none. Its fields stand in it, or in its `error`. */
function errorOf(type: unknown, event: JsonObject): JsonObject | null {
  const error = errorIn(event);
  if (error || type !== 'error') return error;
  const { code, message, param } = event;
  return { code, message, param };
}

const blockedError = (categories: readonly string[]): DaypassError =>
  new DaypassError('moderation_blocked', 'The answer was stopped by content moderation.', {
    details: { direction: 'output', categories },
  });

function verdictsOf(shown: JsonObject): ProviderVerdict[] {
  return verdictsIn(shown, valuesIn(shown.content_filters));
}

/** What of a response's own fields is no text: what a visitor may see of one that moderation took away. */
function safe(response: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(response).filter(([name, value]) => name !== 'output' && isTextless(name, value)),
  );
}
