import { DaypassError } from '#libs/contracts/errors.js';
import type { ImageQuality } from '../endpoint.js';

/** OpenAI's limits. */
export const OUTPUTS_MAX = 10;
export const PARTIALS_MAX = 3;

/** E.g. `1536x864`. */
export const SIZE = /^(auto|[1-9]\d{1,4}x[1-9]\d{1,4})$/;
/** Where the visitor names none. */
export const USUAL_SIZE = '1024x1024';

const GRID = 16;
const RATIO_MAX = 3;
const PIXELS_MIN = 655_360;
const PIXELS_MAX = 8_294_400;

export interface Size {
  width: number;
  height: number;
}

/** @throws DaypassError where no model makes an image of this size */
export function sizeOf(size: string): Size {
  const [width, height] = size.split('x').map(Number) as [number, number];
  if (width % GRID !== 0 || height % GRID !== 0)
    throw refusedSize(`both sides of '${size}' must be multiples of ${GRID}`);
  if (Math.max(width, height) > RATIO_MAX * Math.min(width, height))
    throw refusedSize(`one side of '${size}' must be at most ${RATIO_MAX} times the other`);
  const pixels = width * height;
  if (pixels < PIXELS_MIN || pixels > PIXELS_MAX)
    throw refusedSize(`'${size}' has ${pixels} pixels, and an image has ${PIXELS_MIN} to ${PIXELS_MAX}`);
  return { width, height };
}

function refusedSize(why: string): DaypassError {
  return new DaypassError('invalid_request', `'size' is not possible: ${why}. ${USUAL_SIZE} is the usual size.`, {
    param: 'size',
  });
}

/** Models whose images cost what the formula says (reported by users; it gives the two figures that OpenAI publishes). */
const BY_FORMULA = /^(openai\/)?gpt-image-2([.-]|$)/;
/** From 2.5 on a model writes a plan before it draws. */
const PLANS = /^(openai\/)?gpt-image-2\.[5-9]/;

/** Whether Daypass knows how many tokens an image of this model has. */
export const isByFormula = (model: string): boolean => BY_FORMULA.test(model);

const SIDE: Readonly<Record<ImageQuality, number>> = { low: 16, medium: 48, high: 96 };

/** The tokens of one image. null: nobody knows how many an image of this model has. */
export function outputTokensOf(model: string, { width, height }: Size, quality: ImageQuality): number | null {
  if (!isByFormula(model)) return null;
  const side = SIDE[quality];
  const other = Math.round((side * Math.min(width, height)) / Math.max(width, height));
  return Math.ceil((side * other * (2_000_000 + width * height)) / 4_000_000);
}

/** OpenAI: each partial image costs so many tokens more. */
export const PARTIAL_TOKENS = 100;
/** Of one image that a model reads, of text around each image, and of a plan: bounds until a live account has told (docs/pacing.md). */
export const INPUT_IMAGE_TOKENS = 8_000;
export const TEXT_TOKENS_OF_IMAGE = 32;
const PLAN_TOKENS = 8_000;

/** Tokens of text that a model may write for one image. */
export const planTokensOf = (model: string): number => (PLANS.test(model) ? PLAN_TOKENS : 0);

/** More bytes of base64 than a PNG of the size has, but for one that is all noise. */
export const answerBytesOf = ({ width, height }: Size): number => 4 * width * height + 4_096;
