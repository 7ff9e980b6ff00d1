import {
  bareImage,
  encoded,
  flag,
  harmless,
  ID,
  image,
  list,
  name,
  number,
  object,
  opaque,
  open,
  PROVIDER_ID,
  refused,
  settled,
  text,
  textFile,
  textUpTo,
  variants,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { contentOf, EFFORT, IMAGE_DETAIL, PART_FIELDS, PARTS_MAX } from '../request.shapes.js';
import { namedAsText } from './files.js';
import { FORMAT, LOCAL, TOOLS } from './tools.declaration.js';

/** A conversation of a day's work with tools; OpenAI documents no limit. */
export const ITEMS_MAX = 8_192;
const LINES_MAX = 2_048;
const FILENAME_MAX = 255;
const ACTIONS_MAX = 256;
/** Of a shell's output, in characters, and of its time, in milliseconds. */
const LIMIT_MAX = 1_000_000_000;

/** Names what Daypass keeps for the key, and goes to no upstream. */
export const SHELF_ID = name(PROVIDER_ID);

/** What clients keep beside an item of an answer, and send back with it. No model reads any of it. */
const BESIDE: Fields = {
  created_by: harmless,
  cache_control: harmless,
  provider_specific_fields: harmless,
  // Codex.
  internal_chat_message_metadata_passthrough: harmless,
  end_turn: harmless,
};
const STATUS = word('in_progress', 'completed', 'incomplete', 'searching', 'generating', 'failed');
const COMMON: Fields = { id: SHELF_ID, status: STATUS, ...BESIDE };

const STORED_FILE = refused(
  'A file lies on an account, or elsewhere, where nobody judges it. Put its text into file_data.',
);
const INPUT_FILE = settled(
  object(
    {
      type: word('input_file'),
      file_data: textFile,
      filename: textUpTo(FILENAME_MAX),
      file_id: STORED_FILE,
      file_url: STORED_FILE,
      detail: harmless,
      ...PART_FIELDS,
    },
    'file_data',
  ),
  namedAsText,
);
const STORED_IMAGE = refused(
  'A file belongs to the account, and not to you. Put the image into image_url, as a data URL.',
);
const INPUT_TEXT = object({ type: word('input_text'), text, ...PART_FIELDS }, 'text');
const INPUT_IMAGE = object(
  {
    type: word('input_image'),
    image_url: image,
    detail: IMAGE_DETAIL,
    file_id: STORED_IMAGE,
    ...PART_FIELDS,
  },
  'image_url',
);
const READ_PARTS: Readonly<Record<string, Shape>> = {
  input_text: INPUT_TEXT,
  input_image: INPUT_IMAGE,
  input_file: INPUT_FILE,
};

const MESSAGE = object(
  {
    type: word('message'),
    role: word('user', 'assistant', 'system', 'developer'),
    content: contentOf({
      ...READ_PARTS,
      output_text: object(
        {
          type: word('output_text'),
          text,
          annotations: harmless,
          logprobs: harmless,
          parsed: harmless,
          ...PART_FIELDS,
        },
        'text',
      ),
      refusal: object({ type: word('refusal'), refusal: text, ...PART_FIELDS }, 'refusal'),
    }),
    phase: word('commentary', 'final_answer'),
    ...COMMON,
  },
  'role',
  'content',
);

const PROGRAM = refused('A program at the provider cannot call tools here. Leave the item out.');
const CALLED: Fields = {
  ...COMMON,
  // Anything else could be a text.
  call_id: name(ID),
  caller: variants('type', { direct: object({ type: word('direct') }), program: PROGRAM }),
};
const NAMED: Fields = { ...CALLED, name: text, namespace: text };
const OUTPUT = contentOf(READ_PARTS);

const CHECKS = list(object({ id: text, code: text, message: text }), ACTIONS_MAX);
const POINT: Fields = { x: number(), y: number() };
const KEYS: Fields = { keys: list(text, ACTIONS_MAX) };
const act = (type: string, fields: Fields = {}): Shape => object({ type: word(type), ...fields });
const ACTION = variants('type', {
  click: act('click', { button: word('left', 'right', 'wheel', 'back', 'forward'), ...POINT, ...KEYS }),
  double_click: act('double_click', { ...POINT, ...KEYS }),
  drag: act('drag', { path: list(object(POINT), LINES_MAX), ...KEYS }),
  keypress: act('keypress', KEYS),
  move: act('move', { ...POINT, ...KEYS }),
  screenshot: act('screenshot'),
  scroll: act('scroll', { ...POINT, ...KEYS, scroll_x: number(), scroll_y: number() }),
  type: act('type', { text }),
  wait: act('wait'),
});

const patch = (type: string, fields: Fields): Shape => object({ type: word(type), path: text, ...fields });

const HOSTED = {
  code_interpreter_call: refused('code_interpreter is not offered here. Leave its items out.', {
    code: 'unpriceable_request',
  }),
  file_search_call: refused('file_search is not offered here. Leave its items out.', { code: 'unpriceable_request' }),
  mcp_list_tools: refused('The provider calls no MCP server from here. Leave mcp items out.'),
  mcp_approval_request: refused('The provider calls no MCP server from here. Leave mcp items out.'),
  mcp_approval_response: refused('The provider calls no MCP server from here. Leave mcp items out.'),
  mcp_call: refused('The provider calls no MCP server from here. Leave mcp items out.'),
  program: PROGRAM,
  program_output: PROGRAM,
};

/** Each kind of item by its type, as `openai@7` types them (`ResponseInputItem`). */
const BY_TYPE: Readonly<Record<string, Shape>> = {
  message: MESSAGE,
  reasoning: object({
    type: word('reasoning'),
    summary: list(object({ type: word('summary_text'), text }, 'text'), PARTS_MAX),
    content: list(object({ type: word('reasoning_text', 'text'), text }, 'text'), PARTS_MAX),
    encrypted_content: opaque,
    ...COMMON,
  }),
  function_call: object(
    { type: word('function_call'), ...NAMED, arguments: encoded, async: flag, parsed_arguments: harmless },
    'call_id',
    'name',
    'arguments',
  ),
  function_call_output: object({ type: word('function_call_output'), ...NAMED, output: OUTPUT }, 'output'),
  custom_tool_call: object(
    { type: word('custom_tool_call'), ...NAMED, input: text, async: flag },
    'call_id',
    'name',
    'input',
  ),
  custom_tool_call_output: object(
    { type: word('custom_tool_call_output'), ...NAMED, output: OUTPUT },
    'call_id',
    'output',
  ),
  computer_call: object(
    {
      type: word('computer_call'),
      ...CALLED,
      action: ACTION,
      actions: list(ACTION, ACTIONS_MAX),
      pending_safety_checks: CHECKS,
    },
    'call_id',
  ),
  computer_call_output: object(
    {
      type: word('computer_call_output'),
      ...CALLED,
      output: object(
        {
          type: word('computer_screenshot', 'input_image'),
          image_url: image,
          detail: IMAGE_DETAIL,
          file_id: STORED_IMAGE,
        },
        'image_url',
      ),
      acknowledged_safety_checks: CHECKS,
    },
    'call_id',
    'output',
  ),
  local_shell_call: object(
    {
      type: word('local_shell_call'),
      ...CALLED,
      action: object(
        {
          type: word('exec'),
          command: list(text, LINES_MAX),
          env: open,
          timeout_ms: whole(0, LIMIT_MAX),
          user: text,
          working_directory: text,
        },
        'command',
      ),
    },
    'action',
  ),
  // Its id is the call's, where it has no other.
  local_shell_call_output: object(
    { type: word('local_shell_call_output'), ...CALLED, id: name(ID), output: text },
    'output',
  ),
  shell_call: object(
    {
      type: word('shell_call'),
      ...CALLED,
      action: object(
        {
          commands: list(text, LINES_MAX),
          max_output_length: whole(0, LIMIT_MAX),
          timeout_ms: whole(0, LIMIT_MAX),
        },
        'commands',
      ),
      environment: variants('type', {
        local: LOCAL,
        container_reference: refused("A container is not offered here. Only {type: 'local'} is.", {
          code: 'unpriceable_request',
        }),
      }),
    },
    'call_id',
    'action',
  ),
  shell_call_output: object(
    {
      type: word('shell_call_output'),
      ...CALLED,
      output: list(
        object({
          stdout: text,
          stderr: text,
          outcome: variants('type', {
            timeout: object({ type: word('timeout') }),
            exit: object({ type: word('exit'), exit_code: whole() }),
          }),
          created_by: harmless,
        }),
        LINES_MAX,
      ),
      max_output_length: whole(0, LIMIT_MAX),
    },
    'call_id',
    'output',
  ),
  apply_patch_call: object(
    {
      type: word('apply_patch_call'),
      ...CALLED,
      operation: variants('type', {
        create_file: patch('create_file', { diff: text }),
        delete_file: patch('delete_file', {}),
        update_file: patch('update_file', { diff: text }),
      }),
    },
    'call_id',
    'operation',
  ),
  apply_patch_call_output: object({ type: word('apply_patch_call_output'), ...CALLED, output: text }, 'call_id'),
  // The provider runs any other search for tools.
  tool_search_call: object(
    { type: word('tool_search_call'), ...CALLED, arguments: open, execution: word('client') },
    'execution',
  ),
  tool_search_output: object(
    { type: word('tool_search_output'), ...CALLED, tools: TOOLS, execution: word('client') },
    'execution',
    'tools',
  ),
  additional_tools: object(
    { type: word('additional_tools'), role: word('developer'), tools: TOOLS, ...COMMON },
    'tools',
  ),
  configuration_update: object({
    type: word('configuration_update'),
    reasoning: object({ effort: EFFORT }),
    text: object({ format: FORMAT }, 'format'),
    ...COMMON,
  }),
  web_search_call: object({
    type: word('web_search_call'),
    ...COMMON,
    action: variants('type', {
      search: act('search', {
        query: text,
        queries: list(text, ACTIONS_MAX),
        sources: list(object({ type: word('url'), url: text }), LINES_MAX),
      }),
      open_page: act('open_page', { url: text }),
      find_in_page: act('find_in_page', { url: text, pattern: text }),
    }),
    results: open,
  }),
  image_generation_call: object(
    {
      type: word('image_generation_call'),
      ...COMMON,
      result: bareImage,
      revised_prompt: text,
      action: harmless,
      background: harmless,
      output_format: harmless,
      quality: harmless,
      size: harmless,
    },
    'result',
  ),
  compaction: object({ type: word('compaction'), encrypted_content: opaque, ...COMMON }, 'encrypted_content'),
  compaction_trigger: object({ type: word('compaction_trigger'), ...COMMON }),
  item_reference: object({ type: word('item_reference'), ...COMMON }, 'id'),
  ...HOSTED,
};

/** One item of the input. One without a type is a message. */
export const ITEM = variants('type', BY_TYPE, null, MESSAGE);
/** One that a visitor puts into a conversation. */
export const ADDED_ITEM = variants(
  'type',
  { ...BY_TYPE, item_reference: refused('It only names an item. Send the item itself.') },
  null,
  MESSAGE,
);
