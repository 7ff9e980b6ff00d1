import {
  harmless,
  image,
  list,
  name,
  object,
  ours,
  pricedWord,
  refused,
  text,
  textUpTo,
  flag,
  whole,
  WISHES,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { MODEL } from '../request.shapes.js';
import { OUTPUTS_MAX, PARTIALS_MAX, SIZE } from './sizes.js';

/** OpenAI's limits. */
const PROMPT_CHARACTERS = 32_000;
export const INPUT_IMAGES_MAX = 16;

export const MOVING = refused('Daypass makes no moving images. Leave it out.');
export const NO_COMPLEXITY = refused('Nobody can say what planning costs by its complexity. Leave it out.', {
  code: 'unpriceable_request',
});
const DRAWN = refused('Daypass makes no svg: nobody can say what its author model costs. Ask for png, webp or jpeg.');
const ON_FILE = refused("A file would lie on the operator's account. Send the image itself, as a data: URL.");

const FIELDS: Fields = {
  ...WISHES,
  model: MODEL,
  prompt: textUpTo(PROMPT_CHARACTERS),
  n: whole(1, OUTPUTS_MAX),
  size: name(SIZE),
  quality: pricedWord('the quality', 'auto', 'low', 'medium', 'high'),
  background: word('auto', 'transparent', 'opaque'),
  output_format: word('png', 'jpeg', 'webp'),
  output_compression: whole(0, 100),
  stream: flag,
  partial_images: whole(0, PARTIALS_MAX),
  // Only `auto` scores what no image is scored for.
  moderation: ours(word('auto', 'low')),
  // Older clients send these, and image models of today refuse them.
  response_format: ours(word('b64_json'), { told: true }),
  style: harmless,
  user: ours(text, { told: true }),
  safety_identifier: ours(text, { told: true }),
  complexity: NO_COMPLEXITY,
  frame_count: MOVING,
  frame_duration_ms: MOVING,
  svg: DRAWN,
};

export const GENERATIONS_REQUEST: Shape = object(FIELDS, 'model', 'prompt');

const PICTURE = object({ image_url: image, file_id: ON_FILE }, 'image_url');

/** As JSON. In a form, `image`, `image[]` and `mask` are files. */
export const EDITS_REQUEST: Shape = object(
  {
    ...FIELDS,
    images: list(PICTURE, INPUT_IMAGES_MAX, 1),
    mask: PICTURE,
    input_fidelity: word('low', 'high'),
    markup: refused('Daypass takes no markup. Draw it into the image, or send a mask.'),
  },
  'model',
  'prompt',
);
