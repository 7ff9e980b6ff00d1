import { DaypassError } from '#libs/contracts/errors.js';
import { compile, type Notes } from '../compile.js';
import type { CountingTools, Endpoint, Forced, Measured, Request, UpstreamTraits } from '../endpoint.js';
import type { JsonObject } from '../json.js';
import { tierIn, wishIn } from '../request.shapes.js';
import { COMPACT_ANSWER } from './compact.declaration.js';
import { CompactReader } from './compact.reader.js';
import { isLast, streamError } from './frames.js';
import { readKept } from './kept.js';
import { measured } from './measure.js';
import { refsOf } from './references.js';
import { COMPACT_REQUEST } from './request.declaration.js';
import { contentsOf, normal, RESPONSES } from './responses.endpoint.js';
import { itemsFor } from './sent.js';

const PATH = '/responses/compact';
/** Daypass sets these itself. */
const OURS = ['service_tier', 'prompt_cache_key'];

const request = compile(COMPACT_REQUEST);

/**
 * Makes a conversation shorter: its answer is the user's messages and one item that only its upstream can read. The request
 * has no output cap, so that its bound is the longest answer of the model.
 */
export const COMPACT: Endpoint = {
  name: 'responses.compact',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  directions: RESPONSES.directions,
  // Nobody can count what nobody can read.
  unreported: 'bound',
  declarations: { request: COMPACT_REQUEST, answer: COMPACT_ANSWER },
  inputParam: RESPONSES.inputParam,
  optional: [...OURS, 'prompt_cache_options', 'prompt_cache_retention'],

  sample: (model, input) => ({ model, input }),

  parse({ json }): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const parsed = request.parse(normal(json), '', notes) as JsonObject;
    const body = parsed.input === undefined ? { ...parsed, input: [] } : parsed;
    const items = body.input as JsonObject[];
    const kept = readKept({
      previousResponseId: notes.ours.get('previous_response_id'),
      promptCacheKey: notes.ours.get('prompt_cache_key'),
    });
    const refs = refsOf(items, kept.previousResponseId, null);
    if (items.length === 0 && refs.length === 0)
      throw new DaypassError(
        'invalid_request',
        "Give the conversation as an 'input': a list of items. Or name its last response as 'previous_response_id'.",
        { param: 'input' },
      );
    return {
      body: { json: body, blobs: [], kept: { ...kept } },
      model: body.model as string,
      stream: false,
      outputs: 0,
      capTokens: null,
      serviceTier: tierIn(notes),
      ...contentsOf(body),
      // It runs no tool.
      searches: false,
      params: { cap: 'model', search: 'input', tier: 'service_tier' },
      wish: wishIn(notes),
      adjusted: [...notes.adjusted],
      cacheKey: kept.promptCacheKey ?? undefined,
      refs,
      facts: {},
    };
  },

  expand: (named, found) => RESPONSES.expand!(named, found),

  async measure(asked: Request, tools: CountingTools): Promise<Measured> {
    const { mostOutputTokens } = tools;
    if (mostOutputTokens === undefined) throw unbounded(asked.model);
    const { estimate, most, pacedTokens } = await measured(asked, tools);
    return { estimate, most: { ...most, output: mostOutputTokens }, perCapToken: {}, pacedTokens };
  },

  /** The API takes no identifier of the visitor. */
  forwarded: ({ body: { json, kept } }: Request, { serviceTier, cacheKey }: Forced) => ({
    json: { ...(json as JsonObject), service_tier: serviceTier, prompt_cache_key: cacheKey },
    blobs: [],
    ...(kept === undefined ? {} : { kept }),
  }),

  input: (body) => RESPONSES.input(body),
  redactedInput: (body, replacements) => RESPONSES.redactedInput(body, replacements),
  remoteImages: (body) => RESPONSES.remoteImages(body),
  withImages: (body, images) => RESPONSES.withImages(body, images),

  call({ json, blobs }, _ticket, { kind, drops, tag }: UpstreamTraits) {
    const body = json as JsonObject;
    const { items, dropped: unread } = itemsFor(body.input as JsonObject[], { kind, tag });
    // A tier that the visitor asked for has a price of its own.
    const isLeftOut = (name: string): boolean =>
      COMPACT.optional.includes(name) && drops.includes(name) && !(name === 'service_tier' && body[name] !== 'default');
    const left = Object.keys(body).filter(isLeftOut);
    const sent = Object.entries({ ...body, input: items }).filter(([name]) => !left.includes(name));
    return {
      path: PATH,
      body: { json: Object.fromEntries(sent), blobs },
      form: 'json',
      dropped: [...left.filter((name) => !OURS.includes(name)), ...(unread ? ['input.reasoning'] : [])],
    };
  },

  reader: (ticket, of = { tag: '' }) => new CompactReader(ticket, of),

  streamError,
  streamComment: () => null,
  isLast,
};

function unbounded(model: string): DaypassError {
  return new DaypassError(
    'unpriceable_request',
    `A compaction has no output cap, and nobody has told Daypass how long an answer of the model '${model}' can be, so its cost has no bound. ` +
      `Send a shorter conversation, or ask the operator to set prices.${model}.max_output_tokens in DAYPASS_CONFIG.`,
    { param: 'model' },
  );
}
