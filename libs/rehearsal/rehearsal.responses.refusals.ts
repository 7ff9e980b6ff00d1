import type { Refusal } from './rehearsal.http.js';
import type { ResponsesBody, ResponsesItem } from './rehearsal.responses.types.js';
import type { SealedContents } from './rehearsal.sealed.js';

type Kind = 'a string' | 'a boolean' | 'a decimal' | 'an integer' | 'an object' | 'an array';

/** Every parameter of POST /v1/responses, and what it may be beside null (openai 7's types). */
const PARAMETERS: Readonly<Record<string, readonly Kind[]>> = {
  access_programs: ['an object'],
  background: ['a boolean'],
  client_metadata: ['an object'],
  context_management: ['an array'],
  conversation: ['a string', 'an object'],
  image: ['an object'],
  include: ['an array'],
  input: ['a string', 'an array'],
  instructions: ['a string'],
  max_output_tokens: ['an integer'],
  max_tool_calls: ['an integer'],
  metadata: ['an object'],
  model: ['a string'],
  moderation: ['an object'],
  parallel_tool_calls: ['a boolean'],
  previous_response_id: ['a string'],
  prompt: ['an object'],
  prompt_cache_key: ['a string'],
  prompt_cache_options: ['an object'],
  prompt_cache_retention: ['a string'],
  reasoning: ['an object'],
  safety_identifier: ['a string'],
  service_tier: ['a string'],
  store: ['a boolean'],
  stream: ['a boolean'],
  stream_options: ['an object'],
  temperature: ['a decimal', 'an integer'],
  text: ['an object'],
  tool_choice: ['a string', 'an object'],
  tools: ['an array'],
  top_logprobs: ['an integer'],
  top_p: ['a decimal', 'an integer'],
  truncation: ['a string'],
  user: ['a string'],
};

/** Those of POST /v1/responses/compact. */
const OF_COMPACTION = new Set(
  `model image input instructions previous_response_id prompt_cache_key prompt_cache_options prompt_cache_retention
   service_tier`.split(/\s+/),
);

/** Every item that an input may hold (openai 7's types). */
const ITEMS = new Set([
  'message',
  'file_search_call',
  'computer_call',
  'computer_call_output',
  'web_search_call',
  'function_call',
  'function_call_output',
  'tool_search_call',
  'tool_search_output',
  'additional_tools',
  'configuration_update',
  'reasoning',
  'compaction',
  'image_generation_call',
  'code_interpreter_call',
  'local_shell_call',
  'local_shell_call_output',
  'shell_call',
  'shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
  'mcp_list_tools',
  'mcp_approval_request',
  'mcp_approval_response',
  'mcp_call',
  'custom_tool_call_output',
  'custom_tool_call',
  'compaction_trigger',
  'item_reference',
  'program',
  'program_output',
]);

const INCLUDABLE = new Set([
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
  'reasoning.encrypted_content',
  'message.output_text.logprobs',
]);

/** Ids begin with the kind of what they name. */
const ID_PREFIXES: Readonly<Record<string, string>> = { message: 'msg', reasoning: 'rs', function_call: 'fc' };
const LEAST_OUTPUT_TOKENS = 16;
const QUOTED_CHARACTERS = 40;

/** Reasoning models, which alone make reasoning items. */
export const reasons = (model: string): boolean => /^(gpt-5|gpt-6|o\d|codex|gpt-oss)(?!.*-chat)/.test(model);

/**
 * What OpenAI would refuse of an organization for which nothing is stored: what it does not know, and all that names something
 * which it would have to remember.
 */
export function refusalOf(body: ResponsesBody, sealed: SealedContents): Refusal | undefined {
  return refusedParameter(body) ?? refusedName(body) ?? refusedItem(itemsOf(body), sealed);
}

/** What it would refuse to compact. */
export function compactRefusalOf(body: ResponsesBody, sealed: SealedContents): Refusal | undefined {
  const unknown = Object.keys(body).find((name) => !OF_COMPACTION.has(name));
  return unknown === undefined
    ? refusalOf(body, sealed)
    : refusal(`Unknown parameter: '${unknown}'.`, unknown, 'unknown_parameter');
}

export const itemsOf = ({ input }: ResponsesBody): readonly ResponsesItem[] =>
  typeof input === 'object' && input !== null ? input : [{ role: 'user', content: input ?? '' }];

function refusedParameter(body: ResponsesBody): Refusal | undefined {
  for (const [name, value] of Object.entries(body)) {
    const kinds = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name]! : undefined;
    if (!kinds) return refusal(`Unknown parameter: '${name}'.`, name, 'unknown_parameter');
    if (value !== null && !kinds.includes(kindOf(value)))
      return refusal(
        `Invalid type for '${name}': expected ${kinds.length > 1 ? `one of ${kinds.join(' or ')}` : kinds[0]}, but got ${kindOf(value)} instead.`,
        name,
        'invalid_type',
      );
  }
  if (typeof body.model !== 'string')
    return refusal("Missing required parameter: 'model'.", 'model', 'missing_required_parameter');
  if (typeof body.max_output_tokens === 'number' && body.max_output_tokens < LEAST_OUTPUT_TOKENS)
    return refusal(
      `Invalid 'max_output_tokens': integer below minimum value. Expected a value >= ${LEAST_OUTPUT_TOKENS}, but got ${body.max_output_tokens} instead.`,
      'max_output_tokens',
      'integer_below_min_value',
    );
  const unheardOf = (body.include ?? []).find((one) => !INCLUDABLE.has(one));
  if (unheardOf !== undefined)
    return refusal(
      `Invalid value: '${unheardOf}'. Supported values are: ${[...INCLUDABLE].map((one) => `'${one}'`).join(', ')}.`,
      'include[0]',
      'invalid_value',
    );
  if (!reasons(body.model)) {
    if (body.include?.includes('reasoning.encrypted_content'))
      return refusal('Encrypted content is not supported with this model.', 'include', null);
    if (body.reasoning?.effort != null)
      return refusal(
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        'reasoning.effort',
        'unsupported_parameter',
      );
  }
  return undefined;
}

function refusedName({ previous_response_id, conversation, input }: ResponsesBody): Refusal | undefined {
  if (previous_response_id != null)
    return refusal(
      `Previous response with id '${previous_response_id}' not found.`,
      'previous_response_id',
      'previous_response_not_found',
    );
  if (conversation != null)
    return notFound(
      `Conversation with id '${typeof conversation === 'string' ? conversation : String(conversation.id)}' not found.`,
      'conversation',
    );
  if (input == null || input.length === 0)
    return refusal(
      'One of "input" or "previous_response_id" or "prompt" or "conversation_id" must be provided.',
      'input',
      'missing_required_parameter',
    );
  return undefined;
}

function refusedItem(items: readonly ResponsesItem[], sealed: SealedContents): Refusal | undefined {
  const called = new Set<string>();
  for (const [index, item] of items.entries()) {
    const at = `input[${index}]`;
    const type = item.type ?? 'message';
    if (!ITEMS.has(type)) return refusal(`Invalid value: '${type}'.`, `${at}.type`, 'invalid_value');
    if (type === 'item_reference') return notStored(String(item.id));
    const { id, encrypted_content: content } = item;
    const prefix = ID_PREFIXES[type];
    if (id != null && prefix !== undefined && !id.startsWith(prefix))
      return refusal(
        `Invalid '${at}.id': '${id}'. Expected an ID that begins with '${prefix}'.`,
        `${at}.id`,
        'invalid_value',
      );
    if (content != null && sealed.tokensOf(content) === undefined)
      return refusal(
        `The encrypted content ${content.slice(0, QUOTED_CHARACTERS)}... could not be verified. Reason: Encrypted content could not be decrypted or parsed.`,
        null,
        'invalid_encrypted_content',
      );
    if (type === 'reasoning' && content == null && id != null) return notStored(id);
    if (item.call_id == null) continue;
    if (type.endsWith('_call')) called.add(item.call_id);
    else if (type.endsWith('_output') && !called.has(item.call_id))
      return refusal(`No tool call found for ${spoken(type)} with call_id ${item.call_id}.`, 'input', null);
  }
  const answered = new Set(items.filter(({ type }) => type?.endsWith('_output')).map(({ call_id }) => call_id));
  const open = items.find(({ type, call_id }) => type === 'function_call' && !answered.has(call_id));
  return open && refusal(`No tool output found for function call ${open.call_id}.`, 'input', null);
}

const spoken = (type: string): string =>
  type === 'function_call_output' ? 'function call output' : type.replaceAll('_', ' ');

const notStored = (id: string): Refusal =>
  notFound(
    `Item with id '${id}' not found. Items are not persisted when \`store\` is set to false. Try again with \`store\` set to true, or remove this item from your input.`,
    'input',
  );

const notFound = (message: string, param: string): Refusal => ({
  status: 404,
  error: { message, param, code: null },
});

const refusal = (message: string, param: string | null, code: string | null): Refusal => ({
  status: 400,
  error: { message, param, code },
});

function kindOf(value: unknown): Kind {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return 'a string';
  if (typeof value === 'boolean') return 'a boolean';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal';
  return 'an object';
}
