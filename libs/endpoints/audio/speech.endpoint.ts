import { DaypassError } from '#libs/contracts/errors.js';
import type { Meter } from '#libs/money/cost.js';
import { compile, type Notes } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { pacedTokensOf, withMargin } from '../counting.js';
import type { Body, CountingTools, Endpoint, Measured, Request, UpstreamTraits } from '../endpoint.js';
import { streamComment } from '../event.stream.js';
import type { JsonObject } from '../json.js';
import { wishIn } from '../request.shapes.js';
import { SPEECH_EVENT } from './answer.declaration.js';
import { speaksInBytesOnly, speaksInEvents, spokenBy } from './models.js';
import { SPEECH_FORMATS, SPEECH_REQUEST, SPOKEN_CHARACTERS_MAX, type SpeechFormat } from './request.declaration.js';
import { BYTES_OF_SECOND, isLast, SpeechReader } from './speech.reader.js';
import { streamError } from './transcript.reader.js';

const PATH = '/audio/speech';
/** Slow speech has about four characters a second, which come to five tokens each. */
const TOKENS_OF_CHARACTER_MAX = 5;
/** People speak about fifteen characters a second, which come to 21 tokens. */
const TOKENS_OF_CHARACTER = 1.4;
const CHARACTERS_OF_SECOND = 15;
/** Eighteen minutes of speech, at the slowest speed and uncompressed, in base64. */
const ANSWER_BYTES_MAX = 134_217_728;
/** Some seconds, which the shortest text takes with its pauses. */
const LEAST_TOKENS = 100;

const request = compile(SPEECH_REQUEST);

/** Sound of a text. The sound says what the text says, which is judged: so nobody judges the sound. */
export const SPEECH: Endpoint = {
  name: 'audio.speech',
  path: `/v1${PATH}`,
  accepts: ['application/json'],
  answers: ['audio/*'],
  directions: { input: 'judged', output: 'spoken' },
  answerBytesMax: ANSWER_BYTES_MAX,
  unreported: 'bound',
  usageReport: 'audioSpeeches',
  declarations: { request: SPEECH_REQUEST, answer: SPEECH_EVENT },
  inputParam: 'input',
  // Without it sound comes in bytes, and the reader takes both.
  optional: ['stream_format'],

  sample: (_, input) => ({ model: 'gpt-4o-mini-tts', input, voice: 'alloy' }),

  parse({ json }): Request {
    const notes: Notes = { adjusted: new Set(), ours: new Map() };
    const body = request.parse(json, '', notes) as JsonObject;
    const model = body.model as string;
    const events = body.stream_format === 'sse';
    // As OpenAI counts them.
    const characters = [...(body.input as string)].length;
    if (characters === 0) throw invalid('input', "'input' must not be empty.");
    if (characters > SPOKEN_CHARACTERS_MAX)
      throw invalid(
        'input',
        `'input' must be a string of at most ${SPOKEN_CHARACTERS_MAX} characters. It has ${characters}: send it in parts.`,
      );
    if (events && speaksInBytesOnly(model))
      throw invalid('stream_format', `The model '${model}' speaks in bytes only: leave 'stream_format' out.`);
    const format = (body.response_format as SpeechFormat | undefined) ?? 'mp3';
    return {
      body: { json: body, blobs: [] },
      model,
      stream: events,
      outputs: 0,
      capTokens: null,
      serviceTier: 'default',
      searches: false,
      params: { cap: 'input', search: 'input', tier: 'model' },
      wish: wishIn(notes),
      adjusted: [...notes.adjusted],
      remoteImages: 0,
      facts: {
        characters,
        events,
        format: SPEECH_FORMATS.indexOf(format),
        answerBytes: Math.ceil((characters / CHARACTERS_OF_SECOND / slownessOf(body)) * BYTES_OF_SECOND[format]),
      },
    };
  },

  async measure({ body: { json }, model, facts }: Request, tools: CountingTools): Promise<Measured> {
    const body = json as JsonObject;
    const texts = textsOf(body);
    const input = await tools.countTokens(texts);
    const pacedTokens = pacedTokensOf(texts, input, tools);
    const characters = facts.characters as number;
    const priced = (meter: Meter): boolean => tools.priced?.has(meter) ?? false;
    const meter = spokenBy(model, priced);
    const perCapToken = {};
    if (meter === 'characters') return { estimate: { characters }, most: { characters }, perCapToken, pacedTokens };
    const most = Math.ceil((characters * TOKENS_OF_CHARACTER_MAX) / slownessOf(body)) + LEAST_TOKENS;
    return {
      estimate: { input, [meter]: Math.ceil(characters * TOKENS_OF_CHARACTER) },
      most: { input: withMargin(input), [meter]: most },
      perCapToken,
      pacedTokens,
    };
  },

  /** The API knows no identifier of a visitor. */
  forwarded: ({ body }) => body,

  input: ({ json }): Content[] => textsOf(json as JsonObject).map((text) => ({ kind: 'text', text })),

  redactedInput({ json, blobs }: Body, replacements: readonly Replacement[]): Body {
    const replace = (text: string): string => replacedIn(text, replacements);
    return {
      json: request.replaced(json, '', { text: (_, text) => replace(text), key: replace, encoded: (_, text) => text }),
      blobs,
    };
  },

  remoteImages: () => [],

  withImages: (body) => body,

  call({ json, blobs }: Body, { facts }, { drops }: UpstreamTraits) {
    const body = json as JsonObject;
    const { stream_format: _, ...asked } = body;
    const inEvents =
      facts.events === true || (speaksInEvents(body.model as string) && !drops.includes('stream_format'));
    const sent = Object.entries(asked).filter(([name]) => !drops.includes(name));
    return {
      path: PATH,
      body: { json: { ...Object.fromEntries(sent), ...(inEvents ? { stream_format: 'sse' } : {}) }, blobs },
      form: 'json',
      dropped: Object.keys(asked).filter((name) => drops.includes(name)),
    };
  },

  reader: (ticket) => new SpeechReader(ticket),

  streamError,
  streamComment,
  isLast,
};

const textsOf = ({ input, instructions }: JsonObject): string[] =>
  [input, instructions].filter((text): text is string => typeof text === 'string' && text !== '');

/** Slower speech is longer. */
const slownessOf = ({ speed }: JsonObject): number => Math.min(1, (speed as number | undefined) ?? 1);

const invalid = (param: string, message: string): DaypassError =>
  new DaypassError('invalid_request', message, { param });
