import { countTextTokens } from '#libs/money/tokens.js';
import type { Refusal, SentFile } from './rehearsal.http.js';
import { drawPng, type Drawing } from './rehearsal.png.js';

/** What the rehearsal reads of a request for images: JSON, or the fields of a form. */
export interface ImagesBody {
  model?: string;
  prompt?: string;
  n?: number;
  size?: string;
  quality?: string;
  stream?: boolean;
  partial_images?: number;
  images?: { image_url?: string }[];
  mask?: { image_url?: string };
  output_format?: string;
  background?: string;
  [parameter: string]: unknown;
}

/** What a test may set of one answer. */
export interface ImagesOverride {
  refuse?: Refusal;
  firstByteMs?: number;
  /** Of the images in their order, partial ones first: those that the moderation of the rehearsal flags. */
  flagged?: readonly number[];
  revisedPrompt?: string;
  /** Bytes by which each image is larger. */
  padding?: number;
  /** The answer reports no usage, but costs all the same. */
  withoutUsage?: boolean;
  /** In place of the images. */
  base64?: string;
  /** Waited for before each event of a stream. */
  beforeEvent?: (index: number) => Promise<void> | undefined;
  /** The connection breaks in the middle of this event of a stream, or of a whole answer. */
  cutInEvent?: number;
  /** A whole answer to the letter. */
  raw?: string;
}

export interface ImagesUsage {
  input_tokens: number;
  input_tokens_details: { text_tokens: number; image_tokens: number };
  output_tokens: number;
  output_tokens_details?: { text_tokens: number; image_tokens: number };
  total_tokens: number;
}

export interface ImagesPlan {
  /** `image_generation` or `image_edit`. */
  made: string;
  model: string;
  stream: boolean;
  partials: number;
  shared: { background: string; output_format: string; quality: string; size: string };
  usage: ImagesUsage;
  draw(index: number, more?: Partial<Drawing>): string;
}

const SIDE: Readonly<Record<string, number>> = { low: 16, medium: 48, high: 96 };
const PARTIAL_TOKENS = 100;
const INPUT_IMAGE_TOKENS = 1_056;
/** As it plans a picture. */
const PLAN_TOKENS = 90;
const INPUTS_MAX = 16;
const KNOWN = new Set(
  `model prompt n size quality stream partial_images background output_format output_compression moderation user
   safety_identifier images mask input_fidelity`.split(/\s+/),
);
const IMAGE = /^(\x89PNG|\xff\xd8\xff|RIFF)/;

/** Reads a request as OpenAI's image models do: what they will make, or why it is refused. */
export async function planImages(
  path: 'generations' | 'edits',
  body: ImagesBody,
  files: readonly SentFile[],
): Promise<ImagesPlan | Refusal> {
  const { model = '', prompt = '', n = 1, stream = false, partial_images: partials = 0 } = body;
  if (!model.includes('image'))
    return refusal(`Invalid value: '${model}'. Supported values are image models.`, 'model');
  const unknown = Object.keys(body).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) return refusal(`Unknown parameter: '${unknown}'.`, unknown);
  if (prompt === '') return refusal("Missing required parameter: 'prompt'.", 'prompt');
  if (!(n >= 1 && n <= 10) || (stream && n !== 1)) return refusal("Invalid 'n'.", 'n');
  const size = body.size === undefined || body.size === 'auto' ? '1024x1024' : body.size;
  const [width = 0, height = 0] = size.split('x').map(Number);
  if (width % 16 !== 0 || height % 16 !== 0 || !(width * height > 0)) return refusal(`Invalid size '${size}'.`, 'size');
  const quality = body.quality === undefined || body.quality === 'auto' ? 'medium' : body.quality;
  const side = SIDE[quality];
  if (side === undefined) return refusal(`Invalid quality '${quality}'.`, 'quality');
  const named = [...(body.images ?? []), ...(body.mask ? [body.mask] : [])];
  const inputs = [
    ...files.map(({ content }) => content),
    ...named.map(({ image_url: url = '' }) => Buffer.from(url.slice(url.indexOf(',') + 1), 'base64')),
  ];
  if (path === 'edits' && (inputs.length === 0 || inputs.length > INPUTS_MAX + 1))
    return refusal("Invalid 'image'.", 'image');
  if (inputs.some((bytes) => !IMAGE.test(bytes.toString('latin1', 0, 8))))
    return refusal('Invalid image file or mode for image.', 'image');
  const other = Math.round((side * Math.min(width, height)) / Math.max(width, height));
  const one = Math.ceil((side * other * (2_000_000 + width * height)) / 4_000_000);
  const text = (await countTextTokens([prompt], 'o200k_base')) + 8;
  const input = { text_tokens: text, image_tokens: INPUT_IMAGE_TOKENS * inputs.length };
  const plans = /-2\.[5-9]/.test(model);
  const output = { text_tokens: plans ? PLAN_TOKENS * n : 0, image_tokens: one * n + PARTIAL_TOKENS * partials };
  const sums = {
    input_tokens: input.text_tokens + input.image_tokens,
    output_tokens: output.text_tokens + output.image_tokens,
  };
  return {
    made: path === 'edits' ? 'image_edit' : 'image_generation',
    model,
    stream,
    partials,
    shared: {
      background: body.background === 'transparent' ? 'transparent' : 'opaque',
      output_format: body.output_format ?? 'png',
      quality,
      size,
    },
    usage: {
      input_tokens: sums.input_tokens,
      input_tokens_details: input,
      output_tokens: sums.output_tokens,
      ...(plans ? { output_tokens_details: output } : {}),
      total_tokens: sums.input_tokens + sums.output_tokens,
    },
    draw: (index, more = {}) => drawPng({ width, height, seed: `${index} ${prompt}`, ...more }).toString('base64'),
  };
}

/** A whole answer, in parts: one for each image. */
export function* imagesOf(plan: ImagesPlan, n: number, override: ImagesOverride, atSeconds: number): Generator<string> {
  yield `{"created":${atSeconds},"data":[`;
  for (let index = 0; index < n; index++) {
    const revised = override.revisedPrompt === undefined ? {} : { revised_prompt: override.revisedPrompt };
    const image = { b64_json: imageOf(plan, index, override), ...revised };
    yield `${index === 0 ? '' : ','}${JSON.stringify(image)}`;
  }
  const rest = { ...plan.shared, ...(override.withoutUsage ? {} : { usage: plan.usage }) };
  yield `],${JSON.stringify(rest).slice(1)}`;
}

/** The events of a stream: more and more of one picture, then all of it. */
export function* eventsOfImages(plan: ImagesPlan, override: ImagesOverride, atSeconds: number): Generator<object> {
  const { made, partials, shared, usage } = plan;
  const head = { created_at: atSeconds, ...shared };
  for (let index = 0; index < partials; index++) {
    const b64_json = imageOf(plan, index, override);
    yield { type: `${made}.partial_image`, ...head, b64_json, partial_image_index: index };
  }
  const b64_json = imageOf(plan, partials, override);
  yield { type: `${made}.completed`, ...head, b64_json, ...(override.withoutUsage ? {} : { usage }) };
}

function imageOf(plan: ImagesPlan, index: number, { flagged = [], padding = 0, base64 }: ImagesOverride): string {
  return base64 ?? plan.draw(index, { flagged: flagged.includes(index), padding });
}

function refusal(message: string, param: string): Refusal {
  const code = message.startsWith('Unknown') ? 'unknown_parameter' : 'invalid_value';
  return { status: 400, error: { message, type: 'image_generation_user_error', param, code } };
}
