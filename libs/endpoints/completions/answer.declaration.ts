import { FILTERED, FILTERS, MANY } from '../answer.shapes.js';
import { list, name, number, object, open, PROVIDER_ID, text, whole, word, type Shape } from '../declaration.js';

const COUNTS = object({ cached_tokens: whole(), audio_tokens: whole(), reasoning_tokens: whole() });

/** A completion, or a chunk of one. Whatever has no line here is text, keys and values. */
export const COMPLETIONS_ANSWER: Shape = object({
  id: name(PROVIDER_ID),
  object: word('text_completion', 'text_completion.chunk'),
  created: number(),
  model: name(PROVIDER_ID),
  system_fingerprint: name(PROVIDER_ID),
  choices: list(
    object({
      index: whole(),
      text,
      finish_reason: word('stop', 'length', 'content_filter'),
      logprobs: object({
        tokens: list(text, MANY),
        token_logprobs: list(number(), MANY),
        // Tokens as names.
        top_logprobs: list(open, MANY),
        text_offset: list(whole(), MANY),
      }),
      ...FILTERED,
    }),
    MANY,
  ),
  usage: object({
    prompt_tokens: whole(),
    completion_tokens: whole(),
    total_tokens: whole(),
    prompt_tokens_details: COUNTS,
    completion_tokens_details: COUNTS,
  }),
  prompt_filter_results: list(object({ prompt_index: whole(), content_filter_results: FILTERS }), MANY),
});
