import { DaypassError } from '#libs/contracts/errors.js';
import { compile, type Notes } from '../compile.js';
import type { Json, JsonObject } from '../json.js';
import { IMAGES_MAX, MODERATIONS_REQUEST } from './request.declaration.js';

export const MODERATIONS_PATH = '/v1/moderations';
/** As the record names it. */
export const MODERATIONS_NAME = 'moderations.create';

/** OpenAI's models. Its older ones are gone. */
const MODEL = /^omni-moderation-[a-z0-9-]{1,40}$/;
/** As the moderation lane counts an image. */
const IMAGE_TOKENS = 1_000;

/** What a visitor asks the moderation endpoint. */
export interface Inquiry {
  model: string;
  input: Json;
  /** As the provider counts it against its limits: from characters. */
  tokens: number;
  /** How many results its answer has. */
  results: number;
}

interface Part {
  type: 'text' | 'image_url';
  text?: string;
}

/** `ownModel`: the model that judges calls here. @throws DaypassError that names the parameter */
export function inquiryOf(json: Json, ownModel: string): Inquiry {
  const notes: Notes = { adjusted: new Set(), ours: new Map() };
  const { model = ownModel, input } = compile(MODERATIONS_REQUEST).parse(json, '', notes) as {
    model?: string;
    input: string | (string | Part)[];
  };
  if (model !== ownModel && !MODEL.test(model)) {
    throw new DaypassError(
      'model_not_found',
      `The model '${model}' judges nothing here. Leave 'model' out, or send '${ownModel}'.`,
      { param: 'model' },
    );
  }
  const parts = typeof input === 'string' ? [input] : input;
  const texts = parts.filter((part) => typeof part === 'string');
  if (texts.length > 0 && texts.length < parts.length) throw invalid("'input' must be strings only, or parts only.");
  if (texts.includes('')) throw invalid("'input' must not have an empty string.");
  const images = parts.filter((part) => typeof part !== 'string' && part.type === 'image_url').length;
  if (images > IMAGES_MAX) throw invalid(`'input' may have at most ${IMAGES_MAX} image. Send one request for each.`);
  const read = parts.map((part) => (typeof part === 'string' ? part : (part.text ?? '')));
  const tokens = read.reduce((sum, text) => sum + Math.ceil(Buffer.byteLength(text) / 4), images * IMAGE_TOKENS);
  return { model, input, tokens: Math.max(1, tokens), results: Math.max(1, texts.length) };
}

const invalid = (message: string): DaypassError => new DaypassError('invalid_request', message, { param: 'input' });

/** What waits sealed for the moderation service, and is in the record. */
export const writtenInquiry = ({ model, input }: Inquiry): string =>
  JSON.stringify({ model, input } satisfies JsonObject);
