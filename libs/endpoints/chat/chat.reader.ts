import { withHelp, type ToldError } from '#libs/contracts/help.js';
import type { Metered } from '#libs/money/cost.js';
import type { Put } from '../compile.js';
import { holdsAny, replacedIn, StreamTexts, TakenOut, type Replacement } from '../content.js';
import { encodedReplaced } from '../encoded.js';
import {
  MisshapenAnswer,
  type AnsweredTicket,
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
import { errorIn, eventObject, objectOf, refuseStream, UnreadableEvents } from '../misshapen.js';
import { verdictsIn } from '../provider.verdict.js';
import { mayHoldHalf, PairJoiner, wellFormed } from '../surrogates.js';
import type { Compiled } from '../compile.js';
import { answer, textsIn, type Fields, type TextsIn } from './answer.texts.js';
import { readUsage, writtenUsage } from './usage.js';

const LAST_DATA = '[DONE]';
const LAST_FRAME: Frame = frameOf(`data: ${LAST_DATA}\n\n`, { closing: true });
/** More answers at once than anybody can ask for. */
const OUTPUTS_MAX = 1_000;
/** The fields of a chunk that say nothing by themselves. */
const HEAD = new Set(['id', 'object', 'created', 'model', 'service_tier', 'system_fingerprint', 'choices']);

/** Nothing of a stream follows this frame. */
export const isLast = (frame: string): boolean => frame.endsWith(LAST_FRAME.text);

/** OpenAI's form of an error in the middle of a stream. */
export const streamError = (body: ToldError): string => `data: ${JSON.stringify(body)}\n\n`;

/** What differs between the APIs whose answers have choices. */
export interface ChoiceForm {
  answer: Compiled;
  textsIn: TextsIn;
  chunkObject: string;
  /** What an answer is called. */
  what: string;
  hasOutput(choice: unknown): boolean;
  /** What begins an output of a stream of which nothing was shown; null: nothing does. */
  beginning(index: number): JsonObject | null;
  /** What ends an output that moderation stopped. */
  ending(index: number): JsonObject;
  /** An output that moderation took away. */
  blocked(index: number): JsonObject;
}

const CHAT_FORM: ChoiceForm = {
  answer,
  textsIn,
  chunkObject: 'chat.completion.chunk',
  what: 'chat completion',
  hasOutput: (choice) => isObject(choice) && isObject(choice.message),
  beginning: (index) => ({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }),
  ending: (index) => ({ index, delta: {}, logprobs: null, finish_reason: 'content_filter' }),
  // OpenAI's own form: the choice is there, empty.
  blocked: (index) => ({
    index,
    message: { role: 'assistant', content: null, refusal: null },
    logprobs: null,
    finish_reason: 'content_filter',
  }),
};

/** Reads one chat completion, or one answer of another API with choices, whole or in chunks. */
export class ChatReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  done = false;
  private first: JsonObject | null = null;
  /** As the upstream reported it. */
  private usage: unknown;
  private readonly finished = new Set<unknown>();
  /** Its usage came by itself, as it does at the end. */
  private summedUp = false;
  private readonly fields: Fields = new Map();
  private readonly unreadable = new UnreadableEvents();
  private readonly taken = new TakenOut();
  private readonly pairs = new PairJoiner();

  constructor(
    private readonly ticket: Pick<AnsweredTicket, 'outputs' | 'facts' | 'origin'>,
    private readonly form: ChoiceForm = CHAT_FORM,
  ) {}

  whole(bytes: Uint8Array, contentType: string): Whole {
    if (contentType.startsWith(STREAM_TYPE)) throw new MisshapenAnswer('a stream for a whole answer');
    const text = new TextDecoder().decode(bytes);
    const completion = objectOf(text);
    const choices = completion.choices;
    const isCompletion = Array.isArray(choices) && choices.length > 0 && choices.length <= OUTPUTS_MAX;
    if (!isCompletion || !choices.every((choice) => this.form.hasOutput(choice)))
      throw new MisshapenAnswer(`JSON that is no ${this.form.what}`);
    const shown = wellFormed(completion, text);
    this.take(completion);
    const texts = new StreamTexts();
    texts.add(this.form.textsIn(shown));
    return {
      contents: texts.contents(),
      provider: verdictsOf(shown),
      seen: texts.texts(),
      shown: (replacements) => {
        const replaced = replacements.length > 0 ? wholeReplaced(this.form, shown, replacements) : shown;
        return replaced && json(replaced);
      },
      blocked: () => json(blockedCompletion(this.form, shown)),
    };
  }

  event({ data }: { data: string }): readonly Frame[] {
    // Nothing follows the last one.
    if (this.done) return [];
    if (data === LAST_DATA) {
      if (!this.first) throw new MisshapenAnswer('a stream without a chunk');
      this.done = true;
      return [LAST_FRAME];
    }
    const chunk = eventObject(data);
    // What cannot be read cannot be judged, so nothing of it is shown.
    if (!chunk) return this.skip();
    this.unreadable.readOne();
    const error = errorIn(chunk);
    if (error) this.refuse(error);
    if (isChunk(chunk)) this.first ??= chunk;
    // A stream that has not begun may still be an error, which is not told in the middle of one.
    if (!this.first) return [];
    return this.framesOf(chunk, data);
  }

  private skip(): readonly Frame[] {
    this.unreadable.skipOne(this.first !== null);
    return [];
  }

  private refuse(error: JsonObject): never {
    return refuseStream(error, this.first !== null);
  }

  private framesOf(chunk: JsonObject, data: string): readonly Frame[] {
    this.take(chunk);
    const shown = this.shownOf(chunk, data);
    const choices = shown.choices as unknown[];
    if (choices.length > OUTPUTS_MAX) this.refuse({ message: 'a chunk of too many outputs' });
    const closed = choices.filter((choice) => isObject(choice) && typeof choice.finish_reason === 'string');
    for (const choice of closed) this.finished.add((choice as JsonObject).index);
    // Something was taken out of it, and nothing is left; or there was nothing in it.
    const isEmpty = choices.length === 0 && Object.keys(shown).every((name) => HEAD.has(name));
    if (isEmpty && (chunk.usage !== undefined || chunk.obfuscation !== undefined || !isChunk(chunk))) return [];
    const frame = {
      texts: this.form.textsIn(shown, this.fields),
      provider: verdictsOf(shown),
      closing: closed.length > 0,
    };
    return [frameOf(`data: ${JSON.stringify(shown)}\n\n`, frame)];
  }

  end(): readonly Frame[] {
    if (this.done) return [];
    if (!this.first) throw new MisshapenAnswer('a stream without a chunk');
    if (this.finished.size < this.ticket.outputs && !this.summedUp) {
      throw new Error('the stream ended before its last frame');
    }
    this.done = true;
    return [LAST_FRAME];
  }

  /**
   * A text may begin in one frame and end in another. A text that changes goes as a whole into the first frame that held
   * some of it. What was taken out once is taken out of later frames, too: what repeats is not judged again.
   */
  redacted(frames: readonly string[], replacements: readonly Replacement[]): readonly string[] | null {
    const all = this.taken.with(replacements);
    const chunks = frames.map((frame) => eventObject(frame.replace(/^data: /, '').trimEnd()));
    const changed = this.changedTexts(chunks, all);
    if (changed === null) return null;
    const given = new Set<string>();
    const put = (path: string): string | undefined => {
      const whole = changed.get(path);
      if (whole === undefined || given.has(path)) return whole && '';
      given.add(path);
      return whole;
    };
    const replace = (text: string): string => replacedIn(text, all);
    const text = (path: string, part: string): string => put(path) ?? replace(part);
    const encoded = (path: string, part: string): string => put(path) ?? part;
    const left = new StreamTexts();
    const shown = frames.map((frame, index) => {
      const chunk = chunks[index];
      if (!chunk) return frame;
      const replaced = this.form.answer.replaced(chunk, '', { text, encoded, key: replace }) as JsonObject;
      const whole = changed.size > 0 ? withoutTokens(replaced) : replaced;
      left.add(this.form.textsIn(whole));
      return `data: ${JSON.stringify(whole)}\n\n`;
    });
    return holdsAny(left.contents(), all) ? null : shown;
  }

  /** By path, the texts that change. null: something cannot be taken out. */
  private changedTexts(
    chunks: readonly (JsonObject | null)[],
    replacements: readonly Replacement[],
  ): Map<string, string> | null {
    const texts = new StreamTexts();
    for (const chunk of chunks) if (chunk) texts.add(this.form.textsIn(chunk));
    const changed = new Map<string, string>();
    for (const { path, text, encoded, beside } of texts.byPath()) {
      if (beside && !path.includes('.logprobs.')) continue;
      const replaced = encoded ? encodedReplaced(text, replacements) : replacedIn(text, replacements);
      if (replaced === null) return null;
      if (replaced !== text) changed.set(path, replaced);
    }
    return changed;
  }

  ending(why: Ending, begun: boolean, metered: Metered | null): string {
    if (why.kind === 'error') return streamError(withHelp(why.error.body(), this.ticket.origin));
    const usage = this.usageTold(metered);
    const { id, created, model } = this.first ?? {};
    const { form } = this;
    const head = headOf(form, { id, object: form.chunkObject, created, model });
    const asked = usage ? { usage: null } : {};
    const chunk = (choice: JsonObject): object => ({ ...head, choices: [choice], ...asked });
    const indices = Array.from({ length: this.ticket.outputs }, (_, index) => index);
    const chunks = [
      ...(begun
        ? []
        : indices.flatMap((index) => {
            const first = form.beginning(index);
            return first ? [chunk(first)] : [];
          })),
      ...indices.map((index) => chunk(form.ending(index))),
      ...(usage ? [{ ...head, choices: [], usage }] : []),
    ];
    return `${chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`).join('')}${LAST_FRAME.text}`;
  }

  /** What the visitor asked to be told. */
  private usageTold(metered: Metered | null): unknown {
    if (this.ticket.facts.includeUsage !== true) return null;
    const { usage = metered && writtenUsage(metered) } = headOf(this.form, { usage: this.usage });
    return usage;
  }

  private take({ usage, choices, service_tier: tier, model }: JsonObject): void {
    if (isObject(usage)) {
      const metered = readUsage(usage);
      this.usage = usage;
      this.summedUp ||= metered !== null && (!Array.isArray(choices) || choices.length === 0);
      this.report.metered = most(this.report.metered, metered);
    }
    if (typeof tier === 'string') this.report.serviceTier = tier;
    if (typeof model === 'string') this.report.model ??= model;
  }

  /** A chunk as the visitor gets it: without what only Daypass asked for, and with no half of a surrogate pair. */
  private shownOf(chunk: JsonObject, data: string): JsonObject {
    const { obfuscation: _, usage, ...rest } = chunk;
    const told = this.ticket.facts.includeUsage === true && usage !== undefined ? { usage } : {};
    const shown = { ...rest, choices: Array.isArray(rest.choices) ? (rest.choices as unknown[]) : [], ...told };
    if (!this.pairs.waits && !mayHoldHalf(data)) return shown;
    const text = (path: string, part: string): string => this.pairs.joined(path, part).toWellFormed();
    return this.form.answer.replaced(shown, '', {
      text,
      encoded: text,
      key: (name) => name.toWellFormed(),
    }) as JsonObject;
  }
}

function frameOf(text: string, more: Partial<Frame>): Frame {
  return { text, texts: [], provider: [], closing: false, ...more };
}

const isChunk = (value: JsonObject): boolean => Array.isArray(value.choices) || isObject(value.usage);

const json = (value: unknown): Shown => ({ contentType: JSON_TYPE, body: JSON.stringify(value) });

function verdictsOf(shown: JsonObject): ProviderVerdict[] {
  return verdictsIn(shown, [...valuesIn(shown.prompt_filter_results), ...valuesIn(shown.choices)]);
}

/** null: something cannot be taken out of it. */
function wholeReplaced(
  form: ChoiceForm,
  completion: JsonObject,
  replacements: readonly Replacement[],
): JsonObject | null {
  const replace = (text: string): string => replacedIn(text, replacements);
  let isWhole = true;
  const encoded = (_: string, text: string): string => {
    const replaced = encodedReplaced(text, replacements);
    isWhole &&= replaced !== null;
    return replaced ?? text;
  };
  const put: Put = { text: (_, text) => replace(text), key: replace, encoded };
  const replaced = form.answer.replaced(completion, '', put) as JsonObject;
  return isWhole ? withoutTokens(replaced) : null;
}

/** Usage is told once, or grows: the larger report counts. */
function most(one: Metered | null, other: Metered | null): Metered | null {
  if (!one || !other) return one ?? other;
  return Object.fromEntries(
    Object.entries(other).map(([meter, value]) => [meter, Math.max(value, one[meter as keyof Metered] ?? 0)]),
  );
}

/** Tokens beside a text would show what was taken out of it. */
function withoutTokens(shown: JsonObject): JsonObject {
  const choices = (shown.choices as unknown[]).map((choice) =>
    isObject(choice) ? { ...choice, logprobs: null } : choice,
  );
  return { ...shown, choices };
}

function blockedCompletion(form: ChoiceForm, completion: JsonObject): JsonObject {
  const choices = (completion.choices as unknown[]).map((choice, position) =>
    form.blocked(isObject(choice) && typeof choice.index === 'number' ? choice.index : position),
  );
  return { ...headOf(form, completion), choices };
}

/** What names an answer, as far as there is nothing to read in it. */
function headOf({ textsIn: textsOf }: ChoiceForm, { id, created, model, object, usage }: JsonObject): JsonObject {
  const entries = Object.entries({ id, object, created, model, usage });
  return Object.fromEntries(
    entries.filter(([name, value]) => value !== undefined && textsOf({ [name]: value }).length === 0),
  );
}
