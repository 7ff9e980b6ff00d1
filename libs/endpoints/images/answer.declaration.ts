import {
  bareImage,
  list,
  name,
  number,
  object,
  PROVIDER_ID,
  text,
  variants,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { MANY } from '../answer.shapes.js';
import { SIZE } from './sizes.js';

const DETAILS = object({ image_tokens: whole(0), text_tokens: whole(0), cached_tokens: whole(0) });
const USAGE = object({
  input_tokens: whole(0),
  input_tokens_details: DETAILS,
  output_tokens: whole(0),
  output_tokens_details: DETAILS,
  total_tokens: whole(0),
});

/** How an image was made. */
const MADE: Fields = {
  background: word('transparent', 'opaque', 'auto'),
  output_format: word('png', 'webp', 'jpeg'),
  quality: word('low', 'medium', 'high', 'auto'),
  size: name(SIZE),
};

export const IMAGES_ANSWER: Shape = object(
  {
    created: number(0),
    ...MADE,
    data: list(object({ b64_json: bareImage, revised_prompt: text }, 'b64_json'), MANY),
    usage: USAGE,
    model: name(PROVIDER_ID),
  },
  'data',
);

const eventOf = (type: string, more: Fields): [string, Shape] => [
  type,
  object({ type: word(type), b64_json: bareImage, created_at: number(0), ...MADE, ...more }, 'b64_json'),
];

export const IMAGES_EVENT: Shape = variants(
  'type',
  Object.fromEntries(
    ['image_generation', 'image_edit'].flatMap((made) => [
      eventOf(`${made}.partial_image`, { partial_image_index: whole(0) }),
      eventOf(`${made}.completed`, { revised_prompt: text, usage: USAGE }),
    ]),
  ),
);
