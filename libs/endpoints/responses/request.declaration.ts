import {
  either,
  flag,
  harmless,
  list,
  map,
  number,
  object,
  ours,
  pricedWord,
  refused,
  text,
  textUpTo,
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
  EFFORT,
  LEVEL,
  MODEL,
  MODERATION,
} from '../request.shapes.js';
import { ITEM, ITEMS_MAX, SHELF_ID } from './items.declaration.js';
import { FORMAT, TOOL_CHOICE, TOOLS } from './tools.declaration.js';

/** OpenAI refuses a lower cap. */
export const LEAST_CAP_TOKENS = 16;
const CALLS_MAX = 1_000_000;

/** OpenAI's limits of `metadata`. */
export const METADATA_MAX = { pairs: 16, nameCharacters: 64, valueCharacters: 512 };
const METADATA = map(
  new RegExp(`^[\\s\\S]{1,${METADATA_MAX.nameCharacters}}$`, 'u'),
  textUpTo(METADATA_MAX.valueCharacters),
  METADATA_MAX.pairs,
);
/** The characters of what visitors call themselves, and the prefix that their calls share. OpenAI takes 64. */
const LABEL_MAX = 256;

/** Asks for thoughts that only their upstream can read, so that a later call may go on with them. */
export const ENCRYPTED = 'reasoning.encrypted_content';
/** Reading these costs nothing, or is in the usage. The others show what the account stores. */
export const INCLUDABLE = [
  ENCRYPTED,
  'message.output_text.logprobs',
  'web_search_call.action.sources',
  'web_search_call.results',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
] as const;

/** What chat completions call by other names. */
const MOVED: Fields = Object.fromEntries(
  Object.entries({
    messages: 'input',
    max_completion_tokens: 'max_output_tokens',
    max_tokens: 'max_output_tokens',
    reasoning_effort: 'reasoning.effort',
    response_format: 'text.format',
    verbosity: 'text.verbosity',
    functions: 'tools',
    function_call: 'tool_choice',
    web_search_options: 'tools',
  }).map(([former, name]) => [former, refused(`In this API it is called '${name}'.`, { code: 'unknown_parameter' })]),
);

/** Responses, as `openai@7` types them. What has no line here is refused by name. API: OpenAI, "Create a model response". */
const FIELDS = {
  ...WISHES,
  ...MOVED,
  model: MODEL,
  access_programs: refused("A programme belongs to the operator's account. Leave it out."),
  background: ours(flag),
  client_metadata: harmless,
  context_management: refused(
    'Compaction at the provider has no bound. Leave it out, and send a compaction_trigger item where you want one.',
    { code: 'unpriceable_request' },
  ),
  conversation: ours(either(SHELF_ID, object({ id: SHELF_ID }, 'id'))),
  image: object({ context_compression: word('auto', 'enabled', 'disabled') }),
  include: list(word(...INCLUDABLE), 16),
  input: either(text, list(ITEM, ITEMS_MAX)),
  instructions: text,
  max_output_tokens: whole(LEAST_CAP_TOKENS, CAP_MAX),
  max_tool_calls: whole(1, CALLS_MAX),
  metadata: ours(METADATA),
  moderation: MODERATION,
  parallel_tool_calls: flag,
  previous_response_id: ours(SHELF_ID),
  prompt: refused(
    "A stored prompt lies on the operator's account, and nobody judges it. Put its text into instructions or input.",
  ),
  prompt_cache_key: ours(textUpTo(LABEL_MAX), { told: true }),
  prompt_cache_options: object({
    mode: CACHE_MODE,
    ttl: CACHE_TTL,
    comparison_response_id: refused("It names a response on the operator's account, which has none. Leave it out."),
    prewarm: refused('To warm a cache costs a call of its own. Leave it out.', {
      code: 'unpriceable_request',
      butFalse: true,
    }),
  }),
  prompt_cache_retention: CACHE_RETENTION,
  reasoning: object({
    context: word('auto', 'current_turn', 'all_turns'),
    effort: EFFORT,
    generate_summary: word('auto', 'concise', 'detailed'),
    // Several passes, and nobody says that the cap binds them all.
    mode: pricedWord('the reasoning mode', 'standard'),
    summary: word('auto', 'concise', 'detailed'),
  }),
  safety_identifier: ours(textUpTo(LABEL_MAX), { told: true }),
  service_tier: ASKED_TIER,
  store: ours(flag),
  stream: flag,
  stream_options: ours(object({ include_obfuscation: flag })),
  // The upstream knows what its model takes.
  temperature: number(),
  text: object({ format: FORMAT, verbosity: LEVEL }),
  tool_choice: TOOL_CHOICE,
  tools: TOOLS,
  top_logprobs: whole(0, 20),
  top_p: number(),
  truncation: word('auto', 'disabled'),
  user: ours(textUpTo(LABEL_MAX), { told: true }),
};

export const RESPONSES_REQUEST: Shape = object(FIELDS, 'model');

const { model, input, instructions, image, previous_response_id, prompt_cache_key } = FIELDS;
const { prompt_cache_options, prompt_cache_retention, service_tier } = FIELDS;

/**
 * What is compacted, as `openai@7` types it (`ResponseCompactParams`). OpenAI keeps nothing of it. API: OpenAI, "Compact a
 * response".
 */
export const COMPACT_REQUEST: Shape = object(
  {
    ...WISHES,
    model,
    image,
    input,
    instructions,
    previous_response_id,
    prompt_cache_key,
    prompt_cache_options,
    prompt_cache_retention,
    service_tier,
    conversation: refused("A conversation stays as it is. Send its items as 'input'."),
  },
  'model',
);
