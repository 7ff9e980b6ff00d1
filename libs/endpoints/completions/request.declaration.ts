import { either, flag, list, map, number, object, ours, text, whole, WISHES, type Shape } from '../declaration.js';
import { CAP_MAX, MODEL } from '../request.shapes.js';

/** Outputs of one answer: `n` for each prompt. */
export const OUTPUTS_MAX = 128;
export const TOKENS_MAX = 300_000;
/** The largest number of a token: no encoding has so many. */
const TOKEN_MAX = 2_147_483_647;
const TOKEN = whole(0, TOKEN_MAX);

/** The API from before the chat, as `openai@7` types it. What has no line here is refused by name. */
export const COMPLETIONS_REQUEST: Shape = object(
  {
    ...WISHES,
    model: MODEL,
    /** A string, strings, a list of tokens, or lists of tokens; `completions.endpoint.ts` refuses a mixture. */
    prompt: either(text, list(either(text, TOKEN, list(TOKEN, TOKENS_MAX, 1)), TOKENS_MAX, 1)),
    best_of: whole(1, OUTPUTS_MAX),
    echo: flag,
    frequency_penalty: number(),
    logit_bias: map(/^\d{1,7}$/, number(-100, 100), 2_048),
    logprobs: whole(0, 5),
    max_tokens: whole(1, CAP_MAX),
    n: whole(1, OUTPUTS_MAX),
    presence_penalty: number(),
    seed: whole(),
    stop: either(text, list(text, 16)),
    stream: flag,
    stream_options: ours(object({ include_usage: flag, include_obfuscation: flag })),
    suffix: text,
    temperature: number(),
    top_p: number(),
    user: ours(text, { told: true }),
  },
  'model',
  'prompt',
);
