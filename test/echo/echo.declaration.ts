import {
  either,
  list,
  name,
  number,
  object,
  text,
  whole,
  WISHES,
  word,
  type Shape,
} from '#libs/endpoints/declaration.js';

const TEXTS_MAX = 2_048;

export const ECHO_REQUEST: Shape = object(
  {
    ...WISHES,
    model: name(/^.{1,200}$/u),
    input: either(text, list(text, TEXTS_MAX, 1)),
    dimensions: whole(1, 4_096),
  },
  'model',
  'input',
);

/** Numbers only. */
export const ECHO_ANSWER: Shape = object({
  object: word('echo'),
  data: list(number(), TEXTS_MAX),
  usage: object({ prompt_tokens: whole() }),
});
