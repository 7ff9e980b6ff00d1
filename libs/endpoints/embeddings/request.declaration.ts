import { either, list, object, ours, text, whole, WISHES, word, type Shape } from '../declaration.js';
import { MODEL } from '../request.shapes.js';

/** OpenAI's limit. */
export const INPUTS_MAX = 2_048;
/** OpenAI refuses a request of more tokens, and an input of more than 8,192. Other upstreams have limits of their own. */
export const TOKENS_MAX = 300_000;
/** The largest number of a token: no encoding has so many. */
const TOKEN_MAX = 2_147_483_647;
/** More than any known model has. */
export const DIMENSIONS_MAX = 65_536;

const TOKEN = whole(0, TOKEN_MAX);

/** Whoever adds a field says what it is. */
export const EMBEDDINGS_REQUEST: Shape = object(
  {
    ...WISHES,
    model: MODEL,
    /** A string, strings, a list of tokens, or lists of tokens; `embeddings.endpoint.ts` refuses a mixture. */
    input: either(text, list(either(text, TOKEN, list(TOKEN, TOKENS_MAX, 1)), TOKENS_MAX, 1)),
    dimensions: whole(1, DIMENSIONS_MAX),
    encoding_format: word('float', 'base64'),
    user: ours(text, { told: true }),
  },
  'model',
  'input',
);
