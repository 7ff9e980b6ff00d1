import { DaypassError } from '#libs/contracts/errors.js';
import { compile, type Notes } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { pacedTokensOf } from '../counting.js';
import type { Body, CountingTools, Endpoint, Forced, Measured, Request, UpstreamTraits } from '../endpoint.js';
import { DECODED, decodedBy, isOne, listsOf, readIn as inputsIn, textsOf } from '../token.inputs.js';
import type { Json, JsonObject } from '../json.js';
import { wishIn } from '../request.shapes.js';
import { EMBEDDINGS_ANSWER } from './answer.declaration.js';
import { EmbeddingsReader, noStream } from './embeddings.reader.js';
import { groupsOf } from './input.groups.js';
import { EMBEDDINGS_REQUEST, INPUTS_MAX, TOKENS_MAX } from './request.declaration.js';
import { ANSWER_BYTES_MAX, tooLarge } from './vectors.js';

const PATH = '/embeddings';
/** Other tokenizers put a token before and after each input. */
const MARGIN_TOKENS_OF_INPUT = 2;

/** How long vectors are where `dimensions` does not say it (OpenAI, "Vector embeddings"). */
const DIMENSIONS: Readonly<Record<string, number>> = {
  'text-embedding-3-small': 1_536,
  'text-embedding-3-large': 3_072,
  'text-embedding-ada-002': 1_536,
};
/** Models that nobody here knows seldom have more. */
const UNKNOWN_DIMENSIONS = 4_096;
/** A number in full takes up to 22 characters, with its comma. */
const FLOAT_BYTES = 22;
/** What stands around each vector of an answer. */
const ITEM_BYTES = 64;

const readIn = (json: Json): readonly string[] => inputsIn(json, 'input');

const request = compile(EMBEDDINGS_REQUEST);

/** Vectors of texts. An answer shows nothing that anybody could judge, and costs nothing beside the input. */
export const EMBEDDINGS: Endpoint = {
  name: 'embeddings',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  directions: { input: 'judged', output: 'silent' },
  waiver: 'embeddings',
  usageReport: 'embeddings',
  numbersMax: TOKENS_MAX,
  declarations: { request: EMBEDDINGS_REQUEST, answer: EMBEDDINGS_ANSWER },
  inputParam: 'input',
  // Without the format vectors come as numbers, and the reader takes both.
  optional: ['user', 'encoding_format'],

  sample: (model, input) => ({ model, input }),

  parse({ json }): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const body = request.parse(json, '', notes) as JsonObject;
    const inputs = inputsOf(body);
    const base64 = body.encoding_format === 'base64';
    return {
      body: { json: body, blobs: [] },
      model: body.model as string,
      stream: false,
      outputs: 0,
      capTokens: null,
      serviceTier: 'default',
      searches: false,
      params: { cap: 'dimensions', search: 'input', tier: 'model' },
      wish: wishIn(notes),
      adjusted: [...notes.adjusted],
      remoteImages: 0,
      facts: { vectors: inputs, base64, answerBytes: answerBytesOf(body, inputs, base64) },
    };
  },

  async measure({ body: { json } }: Request, tools: CountingTools): Promise<Measured> {
    const body = json as JsonObject;
    const texts = textsOf(body.input);
    const lists = texts ? [] : listsOf(body.input);
    const decoded = texts ? undefined : await decodedBy(tools, lists, 'input');
    const input = texts ? await tools.countTokens(texts) : lists.reduce((sum, { length }) => sum + length, 0);
    return {
      estimate: { input },
      most: { input: input + MARGIN_TOKENS_OF_INPUT * (texts ?? lists).length },
      perCapToken: {},
      pacedTokens: texts ? pacedTokensOf(texts, input, tools) : input,
      ...(decoded ? { decoded } : {}),
    };
  },

  forwarded({ body: { json, blobs }, decoded }: Request, { safetyIdentifier }: Forced): Body {
    const texts = decoded ? { [DECODED]: decoded } : {};
    return { json: { ...(json as JsonObject), user: safetyIdentifier, ...texts }, blobs };
  },

  input: ({ json }: Body): Content[] => groupsOf(readIn(json)),

  /** Tokens with a replaced text become strings, all of them: an upstream takes no mixture. */
  redactedInput(body: Body, replacements: readonly Replacement[]): Body {
    const texts = readIn(body.json);
    const replaced = texts.map((text) => replacedIn(text, replacements));
    if (replaced.every((text, index) => text === texts[index])) return body;
    const { input, [DECODED]: _, ...rest } = body.json as JsonObject;
    return { json: { ...rest, input: isOne(input) ? replaced[0] : replaced }, blobs: body.blobs };
  },

  remoteImages: () => [],

  withImages: (body) => body,

  /** Vectors in base64 take a quarter of the bytes, and of the time of everybody who passes them on. */
  call({ json, blobs }: Body, _ticket: unknown, { drops }: UpstreamTraits) {
    const { [DECODED]: _, ...body } = json as JsonObject;
    const sent = Object.entries({ ...body, encoding_format: 'base64' }).filter(([name]) => !drops.includes(name));
    const dropped = drops.includes('dimensions') && body.dimensions !== undefined ? ['dimensions'] : [];
    return { path: PATH, body: { json: Object.fromEntries(sent), blobs }, form: 'json', dropped };
  },

  reader: (ticket) => new EmbeddingsReader(ticket),

  streamError: noStream,
  streamComment: () => null,
  isLast: noStream,
};

/** How many inputs a request has. @throws DaypassError where it has too many, an empty one, or some of each kind */
function inputsOf({ input }: JsonObject): number {
  if (typeof input === 'string') {
    if (input === '') throw invalid(`'input' must not be empty.`);
    return 1;
  }
  const inputs = input as readonly unknown[];
  const kind = typeof inputs[0];
  if (kind === 'number') {
    if (!inputs.every((one) => typeof one === 'number')) throw mixed();
    return 1;
  }
  if (inputs.length > INPUTS_MAX)
    throw invalid(`'input' must be an array of at most ${INPUTS_MAX}. Send several requests.`);
  for (const [index, one] of inputs.entries()) {
    if (typeof one !== kind) throw mixed();
    if (one === '') throw invalid(`'input[${index}]' must not be empty.`);
  }
  return inputs.length;
}

/** About the bytes of the answer. @throws DaypassError where it is surely too large, before anybody pays for it */
function answerBytesOf({ model, dimensions }: JsonObject, inputs: number, base64: boolean): number {
  const known = (dimensions as number | undefined) ?? DIMENSIONS[(model as string).replace(/^openai\//, '')];
  const numbers = known ?? UNKNOWN_DIMENSIONS;
  const vector = base64 ? 4 * Math.ceil((4 * numbers) / 3) : FLOAT_BYTES * numbers;
  const bytes = inputs * (vector + ITEM_BYTES);
  if (bytes <= ANSWER_BYTES_MAX) return bytes;
  if (known !== undefined) throw tooLarge(base64 ? undefined : 'encoding_format');
  return ANSWER_BYTES_MAX;
}

const mixed = (): DaypassError => invalid("'input' must be strings only, or tokens only.");
const invalid = (message: string): DaypassError => new DaypassError('invalid_request', message, { param: 'input' });
