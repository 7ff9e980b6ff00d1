import type { Metered } from '#libs/money/cost.js';
import { isObject } from '../json.js';
import { countIn } from '../usage.js';

/** Reads what an answer says of its tokens. null: it is missing, or not what OpenAI documents. */
export function readUsage(usage: unknown, hasInputImages: boolean): Metered | null {
  if (!isObject(usage)) return null;
  const input = countIn(usage.input_tokens);
  const output = countIn(usage.output_tokens);
  // An image without tokens is not counted, and costs all the same.
  if (input === null || output === null || output === 0) return null;
  const read = split(input, usage.input_tokens_details, hasInputImages);
  const made = split(output, usage.output_tokens_details, true);
  return { input: read.text, imageInput: read.image, output: made.text, imageOutput: made.image };
}

/** Of a sum whose details are missing, or are less, the rest is images, or text where there are none: nothing is free. */
function split(sum: number, details: unknown, hasImages: boolean): { text: number; image: number } {
  const { text_tokens: text, image_tokens: image } = isObject(details) ? details : {};
  const known = { text: countIn(text) ?? 0, image: countIn(image) ?? 0 };
  const rest = Math.max(0, sum - known.text - known.image);
  return hasImages ? { ...known, image: known.image + rest } : { ...known, text: known.text + rest };
}
