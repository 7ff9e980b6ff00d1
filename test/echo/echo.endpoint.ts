import { compile, type Notes, type Put } from '#libs/endpoints/compile.js';
import { replacedIn, type Replacement } from '#libs/endpoints/content.js';
import type { Body, CountingTools, Endpoint, Forced, Request } from '#libs/endpoints/endpoint.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { RequestSight } from '#libs/endpoints/request.sight.js';
import { ECHO_ANSWER, ECHO_REQUEST } from './echo.declaration.js';
import { EchoReader, noStream } from './echo.reader.js';

const PATH = '/echo';
/** Of the count of tokens, for other tokenizers. */
const MARGIN_TOKENS = 64;

const request = compile(ECHO_REQUEST);

/** An API without an output cap, whose answer holds nothing to judge. */
export const ECHO: Endpoint = {
  name: 'echo',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  directions: { input: 'judged', output: 'silent' },
  declarations: { request: ECHO_REQUEST, answer: ECHO_ANSWER },
  inputParam: 'input',
  optional: [],

  sample: (model, input) => ({ model, input }),

  parse({ json }): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const body = request.parse(json, '', notes) as JsonObject;
    return {
      body: { json: body, blobs: [] },
      model: body.model as string,
      stream: false,
      outputs: 0,
      capTokens: null,
      serviceTier: 'default',
      searches: false,
      params: { cap: 'dimensions', search: 'input', tier: '' },
      wish: { input: notes.ours.get('moderateInput') === true, output: notes.ours.get('moderateOutput') === true },
      adjusted: [...notes.adjusted],
      remoteImages: 0,
      facts: {},
    };
  },

  async measure({ body }: Request, tools: CountingTools) {
    const input = await tools.countTokens(sightOf(body).counted());
    return {
      estimate: { input },
      most: { input: input + MARGIN_TOKENS },
      perCapToken: {},
      pacedTokens: input,
    };
  },

  forwarded: ({ body: { json, blobs } }: Request, { safetyIdentifier }: Forced) => ({
    json: { ...(json as JsonObject), user: safetyIdentifier },
    blobs,
  }),

  input: (body) => sightOf(body).contents(),

  redactedInput({ json, blobs }: Body, replacements: readonly Replacement[]) {
    const replace = (text: string): string => replacedIn(text, replacements);
    const put: Put = { text: (_, text) => replace(text), key: replace, encoded: (_, text) => text };
    return { json: request.replaced(json, '', put), blobs };
  },

  remoteImages: () => [],

  withImages: (body) => body,

  call: (body) => ({ path: PATH, body, form: 'json', dropped: [] }),

  reader: () => new EchoReader(),

  streamError: noStream,
  streamComment: noStream,

  isLast: noStream,
};

/** The model's name and what the relay adds are nobody's text. */
function sightOf({ json }: Body): RequestSight {
  const sight = new RequestSight();
  request.visit({ input: (json as JsonObject).input }, '', sight);
  return sight;
}
