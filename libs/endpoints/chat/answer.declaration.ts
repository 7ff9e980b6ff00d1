import {
  encoded,
  flag,
  PROVIDER_ID,
  list,
  map,
  name,
  number,
  object,
  text,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';

/** As many as any answer has; a longer list is read all the same. */
const MANY = Number.MAX_SAFE_INTEGER;

const TOKEN: Fields = { token: text, logprob: number(), bytes: list(whole(0, 255), MANY) };
const LOGPROBS = list(object({ ...TOKEN, top_logprobs: list(object(TOKEN), MANY) }), MANY);

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

/** Azure OpenAI, "Content filtering". */
const FILTER_FIELDS: Fields = { filtered: flag, detected: flag, severity: word('safe', 'low', 'medium', 'high') };
const FILTER = object(FILTER_FIELDS);
const CITED = object({ ...FILTER_FIELDS, citation: object({ URL: text, license: text }) });
const FILTERS = object({
  hate: FILTER,
  self_harm: FILTER,
  sexual: FILTER,
  violence: FILTER,
  profanity: FILTER,
  jailbreak: FILTER,
  indirect_attack: FILTER,
  protected_material_text: CITED,
  protected_material_code: CITED,
});

/** OpenAI, "Moderation": categories such as `self-harm/intent`. */
const CATEGORY = /^[a-z-]{1,20}(\/[a-z-]{1,20})?$/;
const SIDE = object({
  type: word('moderation_results', 'moderation_result', 'error'),
  model: name(PROVIDER_ID),
  results: list(
    object({
      type: word('moderation_result'),
      model: name(PROVIDER_ID),
      flagged: flag,
      categories: map(CATEGORY, flag, MANY),
      category_scores: map(CATEGORY, number(), MANY),
      category_applied_input_types: map(CATEGORY, list(word('text', 'image'), MANY), MANY),
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
  service_tier: word('auto', 'default', 'flex', 'scale', 'priority', 'fast'),
  system_fingerprint: name(PROVIDER_ID),
  choices: list(
    object({
      index: whole(),
      message: MESSAGE,
      delta: MESSAGE,
      finish_reason: word('stop', 'length', 'tool_calls', 'content_filter', 'function_call'),
      logprobs: object({ content: LOGPROBS, refusal: LOGPROBS }),
      content_filter_results: FILTERS,
      content_filter_offsets: object({ check_offset: whole(), start_offset: whole(), end_offset: whole() }),
    }),
    MANY,
  ),
  usage: USAGE,
  moderation: object({ input: SIDE, output: SIDE }),
  prompt_filter_results: list(object({ prompt_index: whole(), content_filter_results: FILTERS }), MANY),
});
