import { MANY, SERVED_TIER } from '../answer.shapes.js';
import {
  either,
  image,
  list,
  name,
  number,
  object,
  PROVIDER_ID,
  text,
  textFile,
  variants,
  word,
  type Shape,
} from '../declaration.js';
import { IMAGE_DETAIL } from '../request.shapes.js';
import { COMPRESSION, ITEM, ITEM_ID, PART, STATUS, USAGE } from './answer.declaration.js';

const PARTS = {
  ...(PART.kind === 'variants' ? PART.of : {}),
  input_text: object({ type: word('input_text'), text }),
  input_image: object({ type: word('input_image'), image_url: image, detail: IMAGE_DETAIL }),
  input_file: object({ type: word('input_file'), file_data: textFile, filename: text }),
};

/** A message of the request stands in the answer again. */
const MESSAGE = object({
  type: word('message'),
  id: ITEM_ID,
  status: STATUS,
  role: word('user', 'assistant', 'system', 'developer'),
  phase: word('commentary', 'final_answer'),
  content: either(text, list(variants('type', PARTS), MANY)),
});

/** A conversation as its compaction leaves it (`openai@7`, `CompactedResponse`). Whatever has no line here is text. */
export const COMPACT_ANSWER: Shape = object({
  id: ITEM_ID,
  object: word('response.compaction'),
  created_at: number(),
  output: list(variants('type', { ...(ITEM.kind === 'variants' ? ITEM.of : {}), message: MESSAGE }), MANY),
  usage: USAGE,
  image: COMPRESSION,
  model: name(PROVIDER_ID),
  service_tier: SERVED_TIER,
});
