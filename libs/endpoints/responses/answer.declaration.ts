import {
  bareImage,
  encoded,
  flag,
  ID,
  list,
  name,
  number,
  object,
  open,
  ours,
  PROVIDER_ID,
  text,
  variants,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { FILTERED, LOGPROBS, MANY, MODERATED, SERVED_TIER } from '../answer.shapes.js';
import { CACHE_MODE, CACHE_RETENTION, EFFORT } from '../request.shapes.js';

/** What the provider wrote for itself: nobody else can read it. */
export const OPAQUE = /^[A-Za-z0-9+/_=.-]+$/;

export const ITEM_ID = name(ID);
const providerId = name(PROVIDER_ID);
export const STATUS = word(
  'in_progress',
  'completed',
  'incomplete',
  'failed',
  'searching',
  'generating',
  'interpreting',
  'calling',
);

export const ANNOTATION = object({
  type: word('file_citation', 'url_citation', 'container_file_citation', 'file_path'),
  title: text,
  url: text,
  filename: text,
  file_id: providerId,
  container_id: providerId,
  index: whole(),
  start_index: whole(),
  end_index: whole(),
});

export const PART = variants('type', {
  output_text: object({ type: word('output_text'), text, annotations: list(ANNOTATION, MANY), logprobs: LOGPROBS }),
  refusal: object({ type: word('refusal'), refusal: text }),
  reasoning_text: object({ type: word('reasoning_text'), text }),
});
export const SUMMARY = object({ type: word('summary_text'), text });

const ITEM_HEAD: Fields = { id: ITEM_ID, status: STATUS };
const CALL: Fields = {
  ...ITEM_HEAD,
  call_id: ITEM_ID,
  caller: object({ type: word('direct', 'program'), caller_id: providerId }),
};
/** A function or a custom tool. */
const NAMED: Fields = { ...CALL, name: text, namespace: text, async: flag };

const POINT: Fields = { x: number(), y: number() };
const ACTION = object({
  type: word('click', 'double_click', 'drag', 'keypress', 'move', 'screenshot', 'scroll', 'type', 'wait'),
  ...POINT,
  button: word('left', 'right', 'wheel', 'back', 'forward'),
  keys: list(text, MANY),
  path: list(object(POINT), MANY),
  scroll_x: number(),
  scroll_y: number(),
  text,
});

export const COMMAND_OUTPUT = object({
  stdout: text,
  stderr: text,
  outcome: object({ type: word('timeout', 'exit'), exit_code: whole() }),
});

const OPERATION = object({ type: word('create_file', 'delete_file', 'update_file'), path: text, diff: text });

/** Items of an answer. One of any other type is text, whatever it holds. */
export const ITEM = variants(
  'type',
  Object.fromEntries(
    Object.entries<Fields>({
      message: {
        ...ITEM_HEAD,
        role: word('assistant'),
        phase: word('commentary', 'final_answer'),
        content: list(PART, MANY),
      },
      reasoning: {
        ...ITEM_HEAD,
        summary: list(SUMMARY, MANY),
        content: list(PART, MANY),
        encrypted_content: name(OPAQUE),
      },
      compaction: { ...ITEM_HEAD, encrypted_content: name(OPAQUE) },
      function_call: { ...NAMED, arguments: encoded },
      custom_tool_call: { ...NAMED, input: text },
      mcp_call: { ...ITEM_HEAD, name: text, server_label: text, arguments: encoded, output: text },
      web_search_call: {
        ...ITEM_HEAD,
        action: object({
          type: word('search', 'open_page', 'find_in_page'),
          query: text,
          queries: list(text, MANY),
          sources: list(object({ type: word('url'), url: text }), MANY),
          url: text,
          pattern: text,
        }),
      },
      computer_call: {
        ...CALL,
        action: ACTION,
        actions: list(ACTION, MANY),
        pending_safety_checks: list(object({ id: providerId, code: text, message: text }), MANY),
      },
      local_shell_call: {
        ...CALL,
        action: object({
          type: word('exec'),
          command: list(text, MANY),
          env: open,
          timeout_ms: number(),
          user: text,
          working_directory: text,
        }),
      },
      shell_call: {
        ...CALL,
        action: object({ commands: list(text, MANY), max_output_length: number(), timeout_ms: number() }),
        environment: object({ type: word('local', 'container_reference'), container_id: providerId }),
      },
      shell_call_output: { ...CALL, max_output_length: number(), output: list(COMMAND_OUTPUT, MANY) },
      apply_patch_call: { ...CALL, operation: OPERATION },
      tool_search_call: { ...CALL, arguments: open, execution: word('server', 'client') },
      code_interpreter_call: {
        ...ITEM_HEAD,
        code: text,
        container_id: providerId,
        outputs: list(object({ type: word('logs'), logs: text }), MANY),
      },
      image_generation_call: {
        ...ITEM_HEAD,
        result: bareImage,
        error: object({ code: text, message: text }),
        action: word('generate', 'edit', 'auto'),
        revised_prompt: text,
        background: word('transparent', 'opaque', 'auto'),
        output_format: word('png', 'webp', 'jpeg', 'gif', 'svg'),
        quality: word('low', 'medium', 'high', 'xhigh', 'max', 'auto'),
        size: providerId,
      },
    }).map(([type, fields]) => [type, object({ type: word(type), ...fields })]),
  ),
);

export const USAGE = object({
  input_tokens: whole(),
  input_tokens_details: object({
    cached_tokens: whole(),
    cache_write_tokens: whole(),
    cache_write_tokens_details: object({ ttl_12h_tokens: whole(), ttl_30m_tokens: whole() }),
  }),
  output_tokens: whole(),
  output_tokens_details: object({ reasoning_tokens: whole() }),
  total_tokens: whole(),
});

const IMAGE_COUNTS = object({ image_tokens: whole(), text_tokens: whole() });
const TOOL_USAGE = object({
  web_search: object({ num_requests: whole() }),
  image_gen: object({
    input_tokens: whole(),
    input_tokens_details: IMAGE_COUNTS,
    output_tokens: whole(),
    output_tokens_details: IMAGE_COUNTS,
    total_tokens: whole(),
    cached_tokens: whole(),
    cached_tokens_details: object({ cached_image_tokens: whole(), cached_text_tokens: whole() }),
  }),
});

export const COMPRESSION = object({ context_compression: word('enabled', 'disabled') });

/** One flat object for each side. */
const SIDE = object({ type: word('moderation_result', 'error'), ...MODERATED, code: text, message: text });

/**
 * A response, whole or as an event of its life tells it. Whatever has no line here is text, keys and values. `ours`: the relay
 * puts there what the visitor sent, which nobody judges as output.
 */
export const RESPONSES_ANSWER: Shape = object({
  id: ours(ITEM_ID),
  object: word('response'),
  created_at: number(),
  completed_at: number(),
  status: word('completed', 'incomplete', 'failed', 'in_progress', 'queued'),
  background: ours(flag),
  error: object({ code: text, message: text, type: text, param: text }),
  incomplete_details: object({ reason: word('max_output_tokens', 'max_messages', 'content_filter', 'steered') }),
  instructions: ours(open),
  metadata: ours(open),
  store: ours(flag),
  previous_response_id: ours(ITEM_ID),
  conversation: ours(open),
  prompt_cache_key: ours(text),
  safety_identifier: ours(text),
  user: ours(text),
  tools: ours(open),
  tool_choice: ours(open),
  text: ours(open),
  model: providerId,
  service_tier: SERVED_TIER,
  output: list(ITEM, MANY),
  parallel_tool_calls: flag,
  temperature: number(),
  top_p: number(),
  top_logprobs: whole(),
  frequency_penalty: number(),
  presence_penalty: number(),
  truncation: word('auto', 'disabled'),
  max_output_tokens: whole(),
  max_tool_calls: whole(),
  reasoning: object({
    effort: EFFORT,
    summary: word('auto', 'concise', 'detailed'),
    generate_summary: word('auto', 'concise', 'detailed'),
    context: word('auto', 'current_turn', 'all_turns'),
    mode: word('standard'),
  }),
  image: COMPRESSION,
  prompt_cache_retention: CACHE_RETENTION,
  prompt_cache_options: object({ mode: CACHE_MODE, ttl: word('30m', '12h') }),
  access_programs: object({ cyber: word('standard', 'daybreak_blue', 'daybreak_red') }),
  input_transformations: list(
    object({
      id: providerId,
      action: word('removed'),
      reason: word('organization_mismatch', 'end_user_mismatch', 'model_mismatch', 'prefix_mismatch', 'turn_boundary'),
      type: word('reasoning'),
    }),
    MANY,
  ),
  usage: USAGE,
  tool_usage: TOOL_USAGE,
  moderation: object({ input: SIDE, output: SIDE }),
  prompt: open,
  content_filters: list(
    object({
      blocked: flag,
      source_type: word('prompt', 'completion'),
      ...FILTERED,
    }),
    MANY,
  ),
});
