import { withUser } from '../azure.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { imageTokensOf } from '#libs/money/bound.js';
import { compile, type Notes, type Put } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { encodedReplaced } from '../encoded.js';
import type { CountingTools, Endpoint, Forced, Measured, Request, UpstreamTraits } from '../endpoint.js';
import { remoteImagesIn, withImagesIn } from '../images.js';
import { isObject, type JsonObject } from '../json.js';
import { pacedTokensOf, withMargin } from '../counting.js';
import { tierIn, wishIn } from '../request.shapes.js';
import { RequestSight } from '../request.sight.js';
import { CHAT_ANSWER } from './answer.declaration.js';
import { ChatReader, isLast, streamError } from './chat.reader.js';
import { streamComment } from '../event.stream.js';
import { CHAT_REQUEST } from './request.declaration.js';

const PATH = '/chat/completions';
const IMAGES_MAX = 100;

/** Each message is wrapped in three or four tokens, the answer primed by three more; names and roles cost one each. */
const MESSAGE_TOKENS = 6;
const PRIMING_TOKENS = 8;
/** Calls and parts are wrapped, too. Nobody documents in how much, so these are guesses on the safe side. */
const CALL_TOKENS = 8;
const PART_TOKENS = 2;

/** OpenAI refuses these in a message; compatible upstreams read them. */
const REASONING = ['reasoning_content', 'reasoning', 'reasoning_details'];
/** A model reads each of these by itself, so each has a verdict of its own. The next call with it need not pay for that. */
const LISTS = new Set(['messages', 'tools', 'functions']);

/** The cap goes on under its former name where an upstream does not know the modern one. */
const CAP = 'max_completion_tokens';
const FORMER_CAP = 'max_tokens';
/** Daypass sets these itself. */
const OURS = new Set(['safety_identifier', 'service_tier', 'store', 'prompt_cache_key', CAP]);

const request = compile(CHAT_REQUEST);

export const CHAT: Endpoint = {
  name: 'chat.completions',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  directions: { input: 'judged', output: 'judged' },
  declarations: { request: CHAT_REQUEST, answer: CHAT_ANSWER },
  inputParam: 'messages',
  optional: [...OURS, 'stream_options', 'prompt_cache_options', 'prompt_cache_retention'],

  sample: (model, content) => ({ model, messages: [{ role: 'user', content }] }),

  parse({ json }): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const body = request.parse(json, '', notes) as JsonObject;
    const stream = body.stream === true;
    const options = notes.ours.get('stream_options') as JsonObject | undefined;
    if (options && !stream) throw invalid('stream_options', "'stream_options' is only allowed when 'stream' is true.");
    if (notes.ours.get('store') === true) notes.adjusted.add('store');
    const images = imagesOf(body);
    if (images.length > IMAGES_MAX) throw invalid('messages', `A request may have at most ${IMAGES_MAX} images.`);
    return {
      body: { json: body, blobs: [] },
      model: body.model as string,
      stream,
      outputs: (body.n as number | undefined) ?? 1,
      capTokens: capOf(body),
      serviceTier: tierIn(notes),
      searches: body.web_search_options !== undefined,
      params: { cap: capName(body), search: 'web_search_options', tier: 'service_tier' },
      wish: wishIn(notes),
      adjusted: [...notes.adjusted],
      remoteImages: images.length === 0 ? 0 : remoteImagesIn(request, body).length,
      cacheKey: notes.ours.get('prompt_cache_key') as string | undefined,
      facts: { includeUsage: options?.include_usage === true },
    };
  },

  async measure({ body: { json }, model, outputs }: Request, tools: CountingTools): Promise<Measured> {
    const body = json as JsonObject;
    const counted = sightsOf(body).flatMap((sight) => sight.counted());
    const predicted = body.prediction === undefined ? [] : [JSON.stringify(body.prediction)];
    const [textTokens, predictionTokens] = await Promise.all([
      tools.countTokens(counted),
      tools.countTokens(predicted),
    ]);
    const images = imagesOf(body);
    const imageTokens =
      images.length *
      imageTokensOf(
        model,
        images.some(({ detail }) => detail === 'original'),
      );
    const messageTokens = wrappersOf(body.messages as JsonObject[]);
    const input = textTokens + tools.toolTokens * outputs + messageTokens + PRIMING_TOKENS + imageTokens;
    return {
      estimate: { input },
      // Predicted tokens that the model rejects are billed as output.
      most: { input: withMargin(input), output: predictionTokens * outputs },
      perCapToken: { output: outputs },
      pacedTokens: pacedTokensOf(counted, input, tools, imageTokens),
    };
  },

  /** The usage of a stream is always asked for, and nothing is kept at the provider. */
  forwarded({ body: { json }, stream }, { serviceTier, safetyIdentifier, cacheKey }: Forced) {
    return {
      json: {
        ...(json as JsonObject),
        store: false,
        service_tier: serviceTier,
        safety_identifier: safetyIdentifier,
        prompt_cache_key: cacheKey,
        ...(stream ? { stream_options: { include_usage: true } } : {}),
      },
      blobs: [],
    };
  },

  input: ({ json }): Content[] => sightsOf(json as JsonObject).flatMap((sight) => sight.contents()),

  redactedInput({ json, blobs }, replacements: readonly Replacement[]) {
    const replace = (text: string): string => replacedIn(text, replacements);
    // What cannot be taken out stays, and is found there.
    const encoded = (_: string, text: string): string => encodedReplaced(text, replacements) ?? text;
    const put: Put = { text: (_, text) => replace(text), key: replace, encoded };
    return { json: request.replaced(json, '', put), blobs };
  },

  remoteImages: ({ json }) => remoteImagesIn(request, json),

  withImages: ({ json, blobs }, images) => ({ json: withImagesIn(request, json, images), blobs }),

  call({ json, blobs }, { capTokens, facts }, { kind, drops }: UpstreamTraits) {
    const { [CAP]: _, ...uncapped } = json as JsonObject;
    const capped = drops.includes(CAP)
      ? { ...uncapped, [FORMER_CAP]: capTokens }
      : { ...(json as JsonObject), [capName(json as JsonObject)]: capTokens };
    const sent = kind === 'compatible' ? capped : forOpenAi(withUser(capped, { kind, drops }), kind);
    const left = Object.keys(sent).filter((name) => drops.includes(name) && isLeftOut(name, sent));
    return {
      path: PATH,
      body: { json: Object.fromEntries(Object.entries(sent).filter(([name]) => !left.includes(name))), blobs },
      form: 'json',
      dropped: left.filter((name) => !OURS.has(name) && (name !== 'stream_options' || facts.includeUsage === true)),
    };
  },

  reader: (ticket) => new ChatReader(ticket),

  streamError,
  streamComment,
  isLast,
};

/** Every part of a body that holds something to read. */
function sightsOf(body: JsonObject): RequestSight[] {
  const sights: RequestSight[] = [];
  for (const [name, value] of Object.entries(body)) {
    const parts: unknown[] = LISTS.has(name) && Array.isArray(value) ? value.map((item: unknown) => [item]) : [value];
    for (const part of parts) {
      const sight = new RequestSight(name === 'messages');
      request.visit({ [name]: part }, '', sight);
      // A definition's words and punctuation are read, too.
      if (name !== 'messages') sight.readsAllOf(part);
      // No model reads its own name.
      if (name !== 'model') sights.push(sight);
    }
  }
  return sights;
}

function wrappersOf(messages: readonly JsonObject[]): number {
  const lengthOf = (value: unknown): number => (Array.isArray(value) ? value.length : 0);
  return messages.reduce((sum, { content, tool_calls: calls, function_call: former }) => {
    const called = lengthOf(calls) + (isObject(former) ? 1 : 0);
    return sum + MESSAGE_TOKENS + lengthOf(content) * PART_TOKENS + called * CALL_TOKENS;
  }, 0);
}

interface ImageUrl {
  detail?: unknown;
}

function imagesOf({ messages }: JsonObject): ImageUrl[] {
  const parts = (messages as JsonObject[]).flatMap(({ content }) =>
    Array.isArray(content) ? (content as JsonObject[]) : [],
  );
  return parts.flatMap(({ image_url: url }) => (isObject(url) ? [url] : []));
}

function capOf({ max_completion_tokens: modern, max_tokens: former }: JsonObject): number | undefined {
  if (modern !== undefined && former !== undefined) {
    throw invalid('max_tokens', "Give either 'max_completion_tokens' or 'max_tokens', not both.");
  }
  return (modern ?? former) as number | undefined;
}

/** The cap goes on under the name that the visitor used for it. */
function capName({ max_tokens: former }: JsonObject): string {
  return former === undefined || former === null ? 'max_completion_tokens' : 'max_tokens';
}

/** A tier that the visitor asked for has a price of its own, and the cap bounds the cost. */
function isLeftOut(name: string, { service_tier: tier }: JsonObject): boolean {
  return name === 'service_tier' ? tier === 'default' : name !== CAP && name !== FORMER_CAP;
}

function forOpenAi(body: JsonObject, kind: UpstreamTraits['kind']): JsonObject {
  const messages = (body.messages as JsonObject[]).map((message) =>
    REASONING.some((field) => field in message)
      ? Object.fromEntries(Object.entries(message).filter(([name]) => !REASONING.includes(name)))
      : message,
  );
  return {
    ...body,
    messages,
    ...(body.stream
      ? { stream_options: { include_usage: true, ...(kind === 'openai' ? { include_obfuscation: false } : {}) } }
      : {}),
  };
}

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param });
}
