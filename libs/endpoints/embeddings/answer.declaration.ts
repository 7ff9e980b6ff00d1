import { either, list, name, number, object, PROVIDER_ID, whole, word, type Shape } from '../declaration.js';
import { DIMENSIONS_MAX, INPUTS_MAX } from './request.declaration.js';

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Numbers, names and base64 only. `long.values.ts` reads the vectors. */
export const EMBEDDINGS_ANSWER: Shape = object(
  {
    object: word('list'),
    data: list(
      object(
        {
          object: word('embedding'),
          index: whole(0, INPUTS_MAX - 1),
          embedding: either(name(BASE64), list(number(), DIMENSIONS_MAX, 1)),
        },
        'embedding',
      ),
      INPUTS_MAX,
      1,
    ),
    model: name(PROVIDER_ID),
    usage: object({ prompt_tokens: whole(0), total_tokens: whole(0) }),
  },
  'data',
);
