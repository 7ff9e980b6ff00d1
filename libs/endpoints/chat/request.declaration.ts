import {
  either,
  encoded,
  flag,
  harmless,
  ID,
  image,
  list,
  map,
  name,
  number,
  object,
  open,
  ours,
  pricedWord,
  text,
  unpriceable,
  variants,
  whole,
  WISHES,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import {
  ASKED_TIER,
  CACHE_MODE,
  CACHE_RETENTION,
  CACHE_TTL,
  CAP_MAX,
  CITY,
  contentOf,
  EFFORT,
  IMAGE_DETAIL,
  LEVEL,
  MODEL,
  MODERATION,
  PART_FIELDS,
  TOOLS_MAX,
} from '../request.shapes.js';

/** OpenAI's limits, or above them. */
const MESSAGES_MAX = 2_048;
const CALLS_MAX = 1_024;

const TEXT_PART = object({ type: word('text'), text, ...PART_FIELDS }, 'text');
const REFUSAL_PART = object({ type: word('refusal'), refusal: text, ...PART_FIELDS }, 'refusal');
const IMAGE_PART = object(
  {
    type: word('image_url'),
    image_url: object({ url: image, detail: IMAGE_DETAIL }, 'url'),
    ...PART_FIELDS,
  },
  'image_url',
);
const TEXT_ONLY = contentOf({ text: TEXT_PART });

const CALL_FIELDS: Fields = { id: name(ID, { orText: true }), index: harmless, extra_content: harmless };
const CALL = variants(
  'type',
  {
    function: object(
      {
        type: word('function'),
        function: object({ name: text, arguments: encoded, parsed_arguments: harmless }, 'name'),
        ...CALL_FIELDS,
      },
      'function',
    ),
    custom: object(
      { type: word('custom'), custom: object({ name: text, input: text }, 'name'), ...CALL_FIELDS },
      'custom',
    ),
  },
  'a call',
);

/** What clients keep of an answer and send back with it; none of it is read by a model. */
const KEPT_OF_ANSWERS: Fields = {
  id: harmless,
  annotations: harmless,
  parsed: harmless,
  provider_specific_fields: harmless,
  thinking_blocks: harmless,
  cache_control: harmless,
};
const MESSAGE_FIELDS: Fields = { name: text, ...KEPT_OF_ANSWERS };

const message = (role: string, fields: Fields, ...required: string[]): Shape =>
  object({ role: word(role), ...MESSAGE_FIELDS, ...fields }, ...required);

const MESSAGE = variants('role', {
  system: message('system', { content: TEXT_ONLY }, 'content'),
  developer: message('developer', { content: TEXT_ONLY }, 'content'),
  user: message('user', { content: contentOf({ text: TEXT_PART, image_url: IMAGE_PART }) }, 'content'),
  assistant: message('assistant', {
    content: contentOf({ text: TEXT_PART, refusal: REFUSAL_PART }),
    refusal: text,
    tool_calls: list(CALL, CALLS_MAX),
    function_call: object({ name: text, arguments: encoded }, 'name'),
    audio: unpriceable('audio'),
    // Compatible upstreams read their own reasoning again.
    reasoning_content: text,
    reasoning: text,
    reasoning_details: open,
  }),
  tool: message('tool', {
    content: contentOf({ text: TEXT_PART, image_url: IMAGE_PART }),
    tool_call_id: name(ID, { orText: true }),
  }),
  function: message('function', { content: TEXT_ONLY }),
});

const FUNCTION = object({ name: text, description: text, parameters: open, strict: flag }, 'name');
const TOOL = variants(
  'type',
  {
    function: object({ type: word('function'), function: FUNCTION, cache_control: harmless }, 'function'),
    custom: object(
      {
        type: word('custom'),
        custom: object({ name: text, description: text, format: open }, 'name'),
        cache_control: harmless,
      },
      'custom',
    ),
  },
  'a hosted tool',
);

const TOOL_CHOICE = either(
  word('none', 'auto', 'required'),
  variants('type', {
    function: object({ type: word('function'), function: object({ name: text }, 'name') }, 'function'),
    custom: object({ type: word('custom'), custom: object({ name: text }, 'name') }, 'custom'),
    allowed_tools: object(
      { type: word('allowed_tools'), allowed_tools: object({ mode: word('auto', 'required'), tools: open }, 'tools') },
      'allowed_tools',
    ),
  }),
);

const RESPONSE_FORMAT = variants('type', {
  text: object({ type: word('text') }),
  json_object: object({ type: word('json_object') }),
  json_schema: object(
    {
      type: word('json_schema'),
      json_schema: object({ name: text, description: text, schema: open, strict: flag }, 'name'),
    },
    'json_schema',
  ),
});

/**
 * Chat completions, as `openai@7` types them. What has no line here is refused by name. API: OpenAI, "Create chat completion".
 */
export const CHAT_REQUEST: Shape = object(
  {
    ...WISHES,
    model: MODEL,
    messages: list(MESSAGE, MESSAGES_MAX, 1),
    audio: unpriceable('audio'),
    best_of: unpriceable('several attempts at each answer'),
    client_metadata: harmless,
    frequency_penalty: number(),
    function_call: either(word('none', 'auto'), object({ name: text }, 'name')),
    functions: list(FUNCTION, TOOLS_MAX),
    logit_bias: map(/^\d{1,7}$/, number(-100, 100), 2_048),
    logprobs: flag,
    max_completion_tokens: whole(1, CAP_MAX),
    max_tokens: whole(1, CAP_MAX),
    // OpenAI keeps it beside stored completions only, and nothing is stored.
    metadata: harmless,
    modalities: list(pricedWord('output of the modality', 'text'), 4),
    moderation: MODERATION,
    n: whole(1, 128),
    parallel_tool_calls: flag,
    prediction: object({ type: word('content'), content: TEXT_ONLY }, 'content'),
    presence_penalty: number(),
    prompt_cache_key: ours(text, { told: true }),
    prompt_cache_options: object({ mode: CACHE_MODE, ttl: CACHE_TTL }),
    prompt_cache_retention: CACHE_RETENTION,
    reasoning_effort: EFFORT,
    response_format: RESPONSE_FORMAT,
    safety_identifier: ours(text, { told: true }),
    seed: whole(),
    service_tier: ASKED_TIER,
    session_id: harmless,
    stop: either(text, list(text, 16)),
    store: ours(flag),
    stream: flag,
    stream_options: ours(object({ include_usage: flag, include_obfuscation: flag })),
    // The upstream knows what its model takes.
    temperature: number(),
    tool_choice: TOOL_CHOICE,
    tools: list(TOOL, TOOLS_MAX),
    top_logprobs: whole(0, 20),
    top_p: number(),
    user: ours(text, { told: true }),
    verbosity: LEVEL,
    web_search_options: object({
      search_context_size: LEVEL,
      user_location: object({ type: word('approximate'), approximate: object(CITY) }, 'approximate'),
    }),
  },
  'model',
  'messages',
);
