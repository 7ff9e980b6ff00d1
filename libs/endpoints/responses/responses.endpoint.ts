import { withUser } from '../azure.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Notes, Put } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { encodedReplaced } from '../encoded.js';
import type { Client, Endpoint, Forced, Request, UpstreamTraits } from '../endpoint.js';
import { remoteImagesIn, withImagesIn } from '../images.js';
import { isObject, type Json, type JsonObject } from '../json.js';
import { tierIn, wishIn } from '../request.shapes.js';
import type { Found } from '../shelved.js';
import { RESPONSES_ANSWER } from './answer.declaration.js';
import { RESPONSES_EVENT } from './event.declaration.js';
import { itemsIn } from './items.js';
import { readKept, type ResponsesKept } from './kept.js';
import { measured } from './measure.js';
import { detailsOf, partsOf, request, toolsIn } from './parts.js';
import { drawn } from './drawing.js';
import { expanded, refsOf } from './references.js';
import { ENCRYPTED, LEAST_CAP_TOKENS, RESPONSES_REQUEST } from './request.declaration.js';
import { streamComment } from '../event.stream.js';
import { heedsStreamsOnly, isLast, streamError } from './frames.js';
import { queuedResponse } from './background.js';
import { ResponsesReader } from './responses.reader.js';
import { searches, withoutSearches, withSearches } from './searches.js';
import { itemsFor } from './sent.js';

const PATH = '/responses';
const IMAGES_MAX = 100;
/** With those that items bring: each has a verdict of its own. */
const TOOLS_MAX = 4_096;
const CAP = 'max_output_tokens';

/** Daypass sets these itself. */
const OURS = new Set(['safety_identifier', 'service_tier', 'store', 'prompt_cache_key', 'stream_options']);

export const RESPONSES: Endpoint = {
  name: 'responses',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  directions: { input: 'judged', output: 'judged' },
  declarations: { request: RESPONSES_REQUEST, answer: RESPONSES_ANSWER, event: RESPONSES_EVENT },
  inputParam: 'input',
  leastCapTokens: LEAST_CAP_TOKENS,
  optional: [...OURS, 'include', 'prompt_cache_options', 'prompt_cache_retention'],

  sample: (model, input) => ({ model, input }),

  parse({ json }, client?: Client): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const parsed = request.parse(normal(json), '', notes) as JsonObject;
    const body = parsed.input === undefined ? { ...parsed, input: [] } : parsed;
    const items = body.input as JsonObject[];
    const stream = body.stream === true;
    if (notes.ours.has('stream_options') && !stream) {
      throw invalid('stream_options', "'stream_options' is only allowed when 'stream' is true.");
    }
    const kept = keptOf(notes, body);
    if (kept.background && stream)
      throw invalid(
        'stream',
        "A response in the background has no stream. Leave 'stream' out, and poll GET /v1/responses/{id}.",
      );
    if (kept.background && !kept.store)
      throw invalid('store', "A response in the background is read from where Daypass keeps it. Leave 'store' out.");
    const refs = refsOf(items, kept.previousResponseId, kept.conversation);
    if (kept.previousResponseId !== null && kept.conversation !== null) {
      throw invalid(
        'previous_response_id',
        "Give either 'previous_response_id' or 'conversation', not both: a response is part of one of them.",
      );
    }
    if (items.length === 0 && refs.length === 0) {
      throw invalid(
        'input',
        "Give an 'input': a string, or a list of items. Or name a 'previous_response_id' or a 'conversation'.",
      );
    }
    return {
      body: { json: body, blobs: [], kept: { ...kept } },
      model: body.model as string,
      stream,
      outputs: 1,
      capTokens: body[CAP] as number | undefined,
      serviceTier: tierIn(notes),
      ...contentsOf(body),
      params: { cap: CAP, search: 'tools', tier: 'service_tier' },
      wish: wishIn(notes),
      adjusted: [...notes.adjusted],
      cacheKey: kept.promptCacheKey ?? undefined,
      refs,
      ...(kept.background ? { background: true as const } : {}),
      facts: { codex: client?.codex === true },
    };
  },

  expand(named: Request, found: Found): Request {
    const whole = expanded(named, found);
    const body = whole.body.json as JsonObject;
    return { ...whole, ...contentsOf(body) };
  },

  queued: (ticket, { json, kept }) => queuedResponse(ticket, { kept, sent: json, tag: '' }),

  forms: drawn,

  searching: (wanted, most) => (most === null ? withoutSearches(wanted) : withSearches(wanted, most)),

  measure: measured,

  /** Nothing is kept at the provider. */
  forwarded({ body: { json, kept } }: Request, { serviceTier, safetyIdentifier, cacheKey, shelf = true }: Forced) {
    const { store, ...known } = readKept(kept);
    return {
      json: {
        ...(json as JsonObject),
        store: false,
        service_tier: serviceTier,
        safety_identifier: safetyIdentifier,
        prompt_cache_key: cacheKey,
      },
      blobs: [],
      kept: { ...known, store: store && shelf },
    };
  },

  input: ({ json }): Content[] => partsOf(json as JsonObject).flatMap(({ sight }) => sight.contents()),

  redactedInput({ json, ...rest }, replacements: readonly Replacement[]) {
    const replace = (text: string): string => replacedIn(text, replacements);
    // What cannot be taken out stays, and is found there.
    const encoded = (_: string, text: string): string => encodedReplaced(text, replacements) ?? text;
    const put: Put = { text: (_, text) => replace(text), key: replace, encoded };
    return { json: request.replaced(json, '', put), ...rest };
  },

  remoteImages: ({ json }) => remoteImagesIn(request, json),

  withImages: ({ json, ...rest }, images) => ({ json: withImagesIn(request, json, images), ...rest }),

  call({ json, blobs, kept }, { capTokens }, { kind, drops, tag }: UpstreamTraits) {
    const body = json as JsonObject;
    const { items, dropped: unread } = itemsFor(body.input as JsonObject[], { kind, tag });
    const include = includeOf(readKept(kept), drops);
    const sent: JsonObject = {
      ...withUser(body, { kind, drops }),
      input: items,
      include: include.length > 0 ? include : undefined,
      [CAP]: capTokens,
      // Daypass cuts frames anew, so that their lengths tell nothing.
      ...(body.stream === true && kind === 'openai' ? { stream_options: { include_obfuscation: false } } : {}),
    };
    const left = Object.keys(sent).filter((name) => drops.includes(name) && isLeftOut(name, sent));
    const isSent = ([name, value]: [string, unknown]): boolean => value !== undefined && !left.includes(name);
    return {
      path: PATH,
      body: { json: Object.fromEntries(Object.entries(sent).filter(isSent)), blobs },
      form: 'json',
      dropped: [...left.filter((name) => !OURS.has(name)), ...(unread ? ['input.reasoning'] : [])],
    };
  },

  reader: (ticket, of = { tag: '' }) => new ResponsesReader(ticket, of),

  streamError,
  heedsStreamsOnly,
  streamComment,
  isLast,
};

/** With its input as a list of items. */
export function normal(json: Json): Json {
  return isObject(json) && 'input' in json ? { ...json, input: itemsIn(json.input) } : json;
}

function keptOf({ ours }: Notes, { include }: JsonObject): ResponsesKept {
  const named = ours.get('conversation');
  return readKept({
    store: ours.get('store') ?? true,
    metadata: ours.get('metadata'),
    previousResponseId: ours.get('previous_response_id'),
    conversation: isObject(named) ? named.id : named,
    promptCacheKey: ours.get('prompt_cache_key'),
    asked: include,
    ownFrom: 0,
    background: ours.get('background'),
  });
}

/** `drops`: takes out what only Daypass wants to have in the answer. */
function includeOf({ asked, store }: ResponsesKept, drops: readonly string[]): string[] {
  const adds = store && !asked.includes(ENCRYPTED) && !drops.includes('include');
  return adds ? [...asked, ENCRYPTED] : [...asked];
}

/** A tier that the visitor asked for has a price of its own, and the cap bounds the cost. `includeOf` has the visitor's own. */
function isLeftOut(name: string, { service_tier: tier }: JsonObject): boolean {
  return name === 'service_tier' ? tier === 'default' : name !== CAP && name !== 'include';
}

/** @throws DaypassError `invalid_request` where it has too many images or tools, with those of what it continues */
export function contentsOf(body: JsonObject): Pick<Request, 'searches' | 'remoteImages'> {
  const images = detailsOf(body.input as JsonObject[]).length;
  if (images > IMAGES_MAX) {
    throw invalid('input', `A request may have at most ${IMAGES_MAX} images, with those of what it continues.`);
  }
  const tools = toolsIn(body).reduce((sum, list) => sum + list.length, 0);
  if (tools > TOOLS_MAX) {
    throw invalid('tools', `A request may have at most ${TOOLS_MAX} tools, with those of its items.`);
  }
  return { searches: searches(body), remoteImages: images === 0 ? 0 : remoteImagesIn(request, body).length };
}

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param });
}
