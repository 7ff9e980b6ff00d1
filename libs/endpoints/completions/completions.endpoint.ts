import { DaypassError } from '#libs/contracts/errors.js';
import { textsOf as textsOfAnswer } from '../chat/answer.texts.js';
import { ChatReader, isLast, streamError, type ChoiceForm } from '../chat/chat.reader.js';
import { compile, type Notes, type Put } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { pacedTokensOf, withMargin } from '../counting.js';
import type { Body, CountingTools, Endpoint, Forced, Measured, Request, UpstreamTraits } from '../endpoint.js';
import { streamComment } from '../event.stream.js';
import { isObject, type JsonObject } from '../json.js';
import { wishIn } from '../request.shapes.js';
import { RequestSight } from '../request.sight.js';
import { DECODED, decodedBy, isOne, listsOf, readIn, textsOf } from '../token.inputs.js';
import { COMPLETIONS_ANSWER } from './answer.declaration.js';
import { COMPLETIONS_REQUEST, OUTPUTS_MAX, TOKENS_MAX } from './request.declaration.js';

const PATH = '/completions';
/** Servers put a token before and after each prompt, and some around a suffix. */
const PROMPT_TOKENS = 4;
const CAP = 'max_tokens';
/** Daypass sets these itself. */
const OURS = new Set(['user', CAP]);

const request = compile(COMPLETIONS_REQUEST);
const answer = compile(COMPLETIONS_ANSWER);

const FORM: ChoiceForm = {
  answer,
  textsIn: textsOfAnswer(answer),
  chunkObject: 'text_completion',
  what: 'completion',
  hasOutput: (choice) => isObject(choice) && typeof choice.text === 'string',
  beginning: () => null,
  ending: stopped,
  blocked: stopped,
};

function stopped(index: number): JsonObject {
  return { index, text: '', logprobs: null, finish_reason: 'content_filter' };
}

/** What goes on after a text, as editors ask for it. OpenAI serves no model for it any more; compatible servers do. */
export const COMPLETIONS: Endpoint = {
  name: 'completions',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  directions: { input: 'judged', output: 'judged' },
  compatibleOnly: true,
  numbersMax: TOKENS_MAX,
  declarations: { request: COMPLETIONS_REQUEST, answer: COMPLETIONS_ANSWER },
  inputParam: 'prompt',
  optional: ['user', 'stream_options'],

  sample: (model, prompt) => ({ model, prompt }),

  parse({ json }): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const body = request.parse(json, '', notes) as JsonObject;
    const stream = body.stream === true;
    const options = notes.ours.get('stream_options') as JsonObject | undefined;
    if (options && !stream) throw invalid('stream_options', "'stream_options' is only allowed when 'stream' is true.");
    const n = (body.n as number | undefined) ?? 1;
    if (((body.best_of as number | undefined) ?? n) > n) {
      throw new DaypassError(
        'unpriceable_request',
        "The cost of several attempts at each answer has no bound here. Leave 'best_of' out, or give it the value of 'n'.",
        { param: 'best_of' },
      );
    }
    const outputs = n * promptsOf(body);
    if (outputs > OUTPUTS_MAX) {
      const most = `A request may have at most ${OUTPUTS_MAX} answers: 'n' for each prompt.`;
      throw invalid('prompt', `${most} Send several requests.`);
    }
    return {
      body: { json: body, blobs: [] },
      model: body.model as string,
      stream,
      outputs,
      capTokens: body[CAP] as number | undefined,
      serviceTier: 'default',
      searches: false,
      params: { cap: CAP, search: 'prompt', tier: 'model' },
      wish: wishIn(notes),
      adjusted: [...notes.adjusted],
      remoteImages: 0,
      facts: { includeUsage: options?.include_usage === true },
    };
  },

  async measure({ body: { json }, outputs }: Request, tools: CountingTools): Promise<Measured> {
    const { prompt, ...rest } = json as JsonObject;
    const texts = textsOf(prompt);
    const lists = texts ? [] : listsOf(prompt);
    const prompts = (texts ?? lists).length;
    const decoded = texts ? undefined : await decodedBy(tools, lists, 'prompt');
    const besides = besidesOf(rest).counted();
    // A suffix, and what stops an output, may be read with each prompt.
    const [ofTexts, ofEach] = await Promise.all([tools.countTokens(texts ?? []), tools.countTokens(besides)]);
    const tokens = lists.reduce((sum, { length }) => sum + length, 0);
    const input = ofTexts + tokens + (ofEach + PROMPT_TOKENS) * prompts;
    return {
      estimate: { input },
      most: { input: withMargin(input) },
      perCapToken: { output: outputs },
      pacedTokens: pacedTokensOf([...(texts ?? []), ...besides], input, tools, tokens),
      ...(decoded ? { decoded } : {}),
    };
  },

  /** The usage of a stream is always asked for. */
  forwarded({ body: { json, blobs }, decoded, stream }: Request, { safetyIdentifier }: Forced): Body {
    const texts = decoded ? { [DECODED]: decoded } : {};
    const options = stream ? { stream_options: { include_usage: true } } : {};
    return { json: { ...(json as JsonObject), user: safetyIdentifier, ...options, ...texts }, blobs };
  },

  input({ json }: Body): Content[] {
    const { prompt: _, [DECODED]: __, ...rest } = json as JsonObject;
    const prompts = readIn(json, 'prompt').filter((text) => text !== '');
    return [...prompts.map((text): Content => ({ kind: 'text', text })), ...besidesOf(rest).contents()];
  },

  /** Tokens with a replaced text become strings, all of them. */
  redactedInput({ json, blobs }: Body, replacements: readonly Replacement[]): Body {
    const replace = (text: string): string => replacedIn(text, replacements);
    const put: Put = { text: (_, text) => replace(text), key: replace, encoded: (_, text) => text };
    const { prompt, [DECODED]: decoded, ...rest } = json as JsonObject;
    const texts = readIn(json, 'prompt');
    const replaced = texts.map(replace);
    const isSame = replaced.every((text, index) => text === texts[index]);
    const same = { prompt, ...(decoded ? { [DECODED]: decoded } : {}) };
    const changed = { prompt: isOne(prompt) ? replaced[0] : replaced };
    return { json: { ...(request.replaced(rest, '', put) as JsonObject), ...(isSame ? same : changed) }, blobs };
  },

  remoteImages: () => [],

  withImages: (body) => body,

  call({ json, blobs }: Body, { capTokens, facts }, { drops }: UpstreamTraits) {
    const { [DECODED]: _, ...asked } = json as JsonObject;
    const sent: JsonObject = { ...asked, [CAP]: capTokens };
    const left = Object.keys(sent).filter((name) => drops.includes(name) && name !== CAP);
    return {
      path: PATH,
      body: { json: Object.fromEntries(Object.entries(sent).filter(([name]) => !left.includes(name))), blobs },
      form: 'json',
      dropped: left.filter((name) => !OURS.has(name) && (name !== 'stream_options' || facts.includeUsage === true)),
    };
  },

  reader: (ticket) => new ChatReader(ticket, FORM),

  streamError,
  streamComment,
  isLast,
};

/** All but the prompt that a model reads. */
function besidesOf({ model: _, user: __, ...rest }: JsonObject): RequestSight {
  const sight = new RequestSight();
  request.visit(rest, '', sight);
  return sight;
}

/** How many prompts a request has. @throws DaypassError where some are of each kind */
function promptsOf({ prompt }: JsonObject): number {
  if (typeof prompt === 'string') return 1;
  const prompts = prompt as readonly unknown[];
  const kind = typeof prompts[0];
  if (!prompts.every((one) => typeof one === kind))
    throw invalid('prompt', "'prompt' must be strings only, or tokens only.");
  return kind === 'number' ? 1 : prompts.length;
}

const invalid = (param: string, message: string): DaypassError =>
  new DaypassError('invalid_request', message, { param });
