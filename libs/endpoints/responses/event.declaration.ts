import {
  bareImage,
  encoded,
  list,
  name,
  object,
  PROVIDER_ID,
  text,
  variants,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { LOGPROBS, MANY } from '../answer.shapes.js';
import {
  ANNOTATION,
  COMMAND_OUTPUT,
  ITEM,
  ITEM_ID,
  PART,
  RESPONSES_ANSWER,
  STATUS,
  SUMMARY,
} from './answer.declaration.js';

const IN_ITEM: Fields = { item_id: ITEM_ID, output_index: whole() };
const IN_CONTENT: Fields = { ...IN_ITEM, content_index: whole() };
const IN_SUMMARY: Fields = { ...IN_ITEM, summary_index: whole() };
const IN_COMMAND: Fields = { ...IN_ITEM, command_index: whole() };

const LIFE: Fields = { response: RESPONSES_ANSWER };
/** Events that say only how far an item is. */
const STEPS = [
  'web_search_call.in_progress',
  'web_search_call.searching',
  'web_search_call.completed',
  'file_search_call.in_progress',
  'file_search_call.searching',
  'file_search_call.completed',
  'code_interpreter_call.in_progress',
  'code_interpreter_call.interpreting',
  'code_interpreter_call.completed',
  'image_generation_call.in_progress',
  'image_generation_call.generating',
  'image_generation_call.completed',
  'mcp_call.in_progress',
  'mcp_call.completed',
  'mcp_call.failed',
  'mcp_list_tools.in_progress',
  'mcp_list_tools.completed',
  'mcp_list_tools.failed',
  'compaction.compacting',
];

const EVENTS: Readonly<Record<string, Fields>> = {
  ...Object.fromEntries(STEPS.map((step) => [`response.${step}`, IN_ITEM])),
  keepalive: {},
  'response.created': LIFE,
  'response.queued': LIFE,
  'response.in_progress': LIFE,
  'response.completed': LIFE,
  'response.incomplete': LIFE,
  'response.output_item.added': { output_index: whole(), item: ITEM },
  'response.output_item.done': { output_index: whole(), item: ITEM },
  'response.content_part.added': { ...IN_CONTENT, part: PART },
  'response.content_part.done': { ...IN_CONTENT, part: PART },
  'response.output_text.delta': { ...IN_CONTENT, delta: text, logprobs: LOGPROBS },
  'response.output_text.done': { ...IN_CONTENT, text, logprobs: LOGPROBS },
  'response.output_text.annotation.added': { ...IN_CONTENT, annotation_index: whole(), annotation: ANNOTATION },
  'response.refusal.delta': { ...IN_CONTENT, delta: text },
  'response.refusal.done': { ...IN_CONTENT, refusal: text },
  'response.reasoning_text.delta': { ...IN_CONTENT, delta: text },
  'response.reasoning_text.done': { ...IN_CONTENT, text },
  'response.reasoning_summary_part.added': { ...IN_SUMMARY, part: SUMMARY },
  'response.reasoning_summary_part.done': { ...IN_SUMMARY, part: SUMMARY, status: STATUS },
  'response.reasoning_summary_text.delta': { ...IN_SUMMARY, delta: text },
  'response.reasoning_summary_text.done': { ...IN_SUMMARY, text },
  'response.function_call_arguments.delta': { ...IN_ITEM, delta: encoded },
  'response.function_call_arguments.done': { ...IN_ITEM, name: text, arguments: encoded },
  'response.mcp_call_arguments.delta': { ...IN_ITEM, delta: encoded },
  'response.mcp_call_arguments.done': { ...IN_ITEM, name: text, arguments: encoded },
  'response.custom_tool_call_input.delta': { ...IN_ITEM, delta: text },
  'response.custom_tool_call_input.done': { ...IN_ITEM, input: text },
  'response.code_interpreter_call_code.delta': { ...IN_ITEM, delta: text },
  'response.code_interpreter_call_code.done': { ...IN_ITEM, code: text },
  'response.image_generation_call.partial_image': {
    ...IN_ITEM,
    partial_image_b64: bareImage,
    partial_image_index: whole(0),
    background: word('transparent', 'opaque', 'auto'),
    output_format: word('png', 'webp', 'jpeg'),
    quality: word('low', 'medium', 'high', 'auto'),
    size: name(PROVIDER_ID),
  },
  'response.shell_call_command.added': { ...IN_COMMAND, command: text },
  'response.shell_call_command.delta': { ...IN_COMMAND, delta: text },
  'response.shell_call_command.done': { ...IN_COMMAND, command: text },
  'response.shell_call_output_content.delta': { ...IN_COMMAND, delta: object({ stdout: text, stderr: text }) },
  'response.shell_call_output_content.done': { ...IN_COMMAND, output: list(COMMAND_OUTPUT, MANY) },
};

/** One event of a response's stream. An event of any other type is text, whatever it holds. */
export const RESPONSES_EVENT: Shape = variants(
  'type',
  Object.fromEntries(
    Object.entries(EVENTS).map(([type, fields]) => [
      type,
      object({ type: word(type), sequence_number: whole(), ...fields }),
    ]),
  ),
);
