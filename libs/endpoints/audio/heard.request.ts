import type { Meter } from '#libs/money/cost.js';
import type { Compiled, Notes, Put } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { pacedTokensOf, withMargin } from '../counting.js';
import type { Body, CountingTools, Forced, Measured, Request, UpstreamCall, UpstreamTraits } from '../endpoint.js';
import { fromForm } from '../form.values.js';
import { valuesIn, type JsonObject } from '../json.js';
import { wishIn } from '../request.shapes.js';
import { RequestSight } from '../request.sight.js';
import type { Shape } from '../declaration.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { formatsOf, heardBy, isWhisper, upstreamFormat, type Format } from './models.js';
import { soundFileOf } from './sound.file.js';

/** What OpenAI's price for a minute and its price for a million tokens come to. */
const TOKENS_OF_SECOND = 10;
/** These models hear no more at once (as users measured it), and write no more. */
const HEARD_SECONDS_MAX = 1_500;
const OUTPUT_TOKENS_MAX = 2_000;
/** OpenAI's limit for the voice of a known speaker. */
const REFERENCE_SECONDS = 10;
/** A length that is told in whole seconds may be told rounded up. */
const MARGIN_SECONDS = 1;

/** Neither is read as a text: one is sound, the other says who answers. */
const UNREAD = new Set(['known_speaker_references', 'model']);

const invalid = (param: string, message: string): DaypassError =>
  new DaypassError('invalid_request', message, { param });

/** Reads a form with a file of sound. `canStream`: the API has a stream. */
export function parseHeard(
  declared: { shape: Shape; request: Compiled; canStream: boolean },
  { json, blobs }: Body,
): Request {
  const notes: Notes = { adjusted: new Set(), ours: new Map() };
  const body = declared.request.parse(fromForm(declared.shape, json), '', notes) as JsonObject;
  const file = soundFileOf(blobs);
  const model = body.model as string;
  const format = (body.response_format as Format | undefined) ?? 'json';
  const asksStream = declared.canStream && body.stream === true;
  // As OpenAI does it.
  if (asksStream && isWhisper(model)) notes.adjusted.add('stream');
  const stream = asksStream && !isWhisper(model);
  refuseFormat(model, format, stream);
  const { stream: _, timestamp_granularities: times, ...rest } = body;
  // No other format shows them. Words alone would leave nothing to write subtitles from.
  const withTimes = times !== undefined && format === 'verbose_json';
  if (times !== undefined && !withTimes) notes.adjusted.add('timestamp_granularities');
  const sent = withTimes ? { ...rest, timestamp_granularities: times } : rest;
  return {
    body: { json: stream ? { ...sent, stream } : sent, blobs: [file] },
    model,
    stream,
    outputs: 0,
    capTokens: null,
    serviceTier: 'default',
    searches: false,
    params: { cap: 'file', search: 'file', tier: 'model' },
    wish: wishIn(notes),
    adjusted: [...notes.adjusted],
    remoteImages: 0,
    facts: { seconds: Math.ceil(file.seconds) },
  };
}

function refuseFormat(model: string, format: Format, stream: boolean): void {
  const formats = formatsOf(model).filter((one) => !stream || one.includes('json') || one === 'text');
  const offered = stream ? formats.filter((one) => one !== 'verbose_json') : formats;
  if (offered.includes(format)) return;
  const words = offered.map((one) => `'${one}'`).join(', ');
  const where = stream ? ' in a stream' : '';
  throw invalid('response_format', `'response_format' of the model '${model}'${where} must be one of ${words}.`);
}

/** What a price does not name, the measure does not name. So a model is asked only for what its price is per. */
export async function measureHeard(
  request: Compiled,
  { body: { json }, model, facts }: Request,
  tools: CountingTools,
): Promise<Measured> {
  const body = json as JsonObject;
  const texts = sightsOf(request, body).flatMap((sight) => sight.counted());
  const input = await tools.countTokens(texts);
  const references = valuesIn(body.known_speaker_references).length * REFERENCE_SECONDS;
  const seconds = (facts.seconds as number) + references;
  const priced = (meter: Meter): boolean => tools.priced?.has(meter) ?? false;
  const pace = { audioSeconds: seconds };
  if (heardBy(model, priced) === 'seconds') {
    const pacedTokens = pacedTokensOf(texts, input, tools);
    return {
      estimate: { seconds },
      most: { seconds: seconds + MARGIN_SECONDS },
      perCapToken: {},
      pacedTokens,
      pace,
    };
  }
  const audioInput = Math.min(seconds, HEARD_SECONDS_MAX + references) * TOKENS_OF_SECOND;
  return {
    estimate: { input, audioInput },
    most: {
      input: withMargin(input),
      audioInput: audioInput + MARGIN_SECONDS * TOKENS_OF_SECOND,
      output: OUTPUT_TOKENS_MAX,
    },
    perCapToken: {},
    pacedTokens: pacedTokensOf(texts, input + audioInput, tools, audioInput),
    pace,
  };
}

/** The API knows no identifier of a visitor. */
export const forwardedHeard = ({ body }: Request, _: Forced): Body => body;

export const inputHeard = (request: Compiled, { json }: Body): Content[] =>
  sightsOf(request, json as JsonObject).flatMap((sight) => sight.contents());

export function redactedHeard(request: Compiled, { json, blobs }: Body, replacements: readonly Replacement[]): Body {
  const replace = (text: string): string => replacedIn(text, replacements);
  const put: Put = { text: (_, text) => replace(text), key: replace, encoded: (_, text) => text };
  return { json: request.replaced(json, '', put), blobs };
}

export function callHeard(path: string, { json, blobs }: Body, { drops }: UpstreamTraits): UpstreamCall {
  const body = json as JsonObject;
  const model = body.model as string;
  const asked = (body.response_format as Format | undefined) ?? 'json';
  const sent = Object.entries({ ...body, response_format: upstreamFormat(model, asked) });
  const isLeft = (name: string): boolean => drops.includes(name);
  return {
    path,
    body: { json: Object.fromEntries(sent.filter(([name]) => !isLeft(name))), blobs },
    form: 'multipart',
    dropped: Object.keys(body).filter((name) => isLeft(name) && name !== 'response_format'),
  };
}

/** Each field's texts are judged as one. */
function sightsOf(request: Compiled, body: JsonObject): RequestSight[] {
  return Object.entries(body).flatMap(([name, value]) => {
    if (UNREAD.has(name)) return [];
    const sight = new RequestSight(Array.isArray(value));
    request.visit({ [name]: value }, '', sight);
    return [sight];
  });
}
