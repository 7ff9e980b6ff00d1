import { encoded, PROVIDER_ID, list, name, number, object, text, whole, word, type Shape } from '../declaration.js';
import { FILTERED, FILTERS, LOGPROBS, MANY, MODERATED, SERVED_TIER } from '../answer.shapes.js';

/** A message, or what a chunk adds to it. Whatever else stands in it is text. */
const MESSAGE = object({
  role: word('assistant', 'user', 'system', 'developer', 'tool', 'function'),
  content: text,
  refusal: text,
  reasoning_content: text,
  reasoning: text,
  tool_calls: list(
    object({
      index: whole(),
      id: name(PROVIDER_ID),
      type: word('function', 'custom'),
      function: object({ name: text, arguments: encoded }),
      custom: object({ name: text, input: text }),
    }),
    MANY,
  ),
  function_call: object({ name: text, arguments: encoded }),
});

const COUNTS: Shape = object({
  cached_tokens: whole(),
  cache_write_tokens: whole(),
  audio_tokens: whole(),
  text_tokens: whole(),
  image_tokens: whole(),
  reasoning_tokens: whole(),
  accepted_prediction_tokens: whole(),
  rejected_prediction_tokens: whole(),
});
const USAGE = object({
  prompt_tokens: whole(),
  completion_tokens: whole(),
  total_tokens: whole(),
  prompt_tokens_details: COUNTS,
  completion_tokens_details: COUNTS,
});

const SIDE = object({
  type: word('moderation_results', 'moderation_result', 'error'),
  model: name(PROVIDER_ID),
  results: list(
    object({
      type: word('moderation_result'),
      ...MODERATED,
    }),
    MANY,
  ),
});

/** A chat completion, or a chunk of one. Whatever has no line here is text, keys and values. */
export const CHAT_ANSWER: Shape = object({
  id: name(PROVIDER_ID),
  object: word('chat.completion', 'chat.completion.chunk'),
  created: number(),
  model: name(PROVIDER_ID),
  service_tier: SERVED_TIER,
  system_fingerprint: name(PROVIDER_ID),
  choices: list(
    object({
      index: whole(),
      message: MESSAGE,
      delta: MESSAGE,
      finish_reason: word('stop', 'length', 'tool_calls', 'content_filter', 'function_call'),
      logprobs: object({ content: LOGPROBS, refusal: LOGPROBS }),
      ...FILTERED,
    }),
    MANY,
  ),
  usage: USAGE,
  moderation: object({ input: SIDE, output: SIDE }),
  prompt_filter_results: list(object({ prompt_index: whole(), content_filter_results: FILTERS }), MANY),
});
