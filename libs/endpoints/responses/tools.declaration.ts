import {
  either,
  flag,
  harmless,
  list,
  name,
  object,
  open,
  ours,
  pricedWord,
  refused,
  text,
  variants,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { MOVING, NO_COMPLEXITY } from '../images/request.declaration.js';
import { PARTIALS_MAX, SIZE } from '../images/sizes.js';
import { CITY, LEVEL, MODEL, TOOLS_MAX } from '../request.shapes.js';

/** OpenAI's limits, or above them. */
const SKILLS_MAX = 256;
const DOMAINS_MAX = 1_024;
const PIXELS_MAX = 100_000;

/** The tool that searches the web goes by these names; OpenAI, "Web search". */
export const SEARCH_TOOLS: readonly string[] = [
  'web_search',
  'web_search_2025_08_26',
  'web_search_preview',
  'web_search_preview_2025_03_11',
];
/** The tool that draws (OpenAI, "Image generation"). */
export const DRAWING_TOOL = 'image_generation';
/** These put hidden words around what the visitor sent, because the provider defines them. */
export const BUILT_IN_TOOLS: readonly string[] = [
  ...SEARCH_TOOLS,
  DRAWING_TOOL,
  'apply_patch',
  'computer',
  'computer_use_preview',
  'local_shell',
  'shell',
  'tool_search',
];

const HOSTED = {
  code_interpreter: refused(
    'code_interpreter costs a fee for each session, which no usage tells. Run code in the client.',
    {
      code: 'unpriceable_request',
    },
  ),
  file_search: refused(
    'file_search reads stores whose storage costs money beyond the life of a key. Use /v1/embeddings, and search in the client.',
    { code: 'unpriceable_request' },
  ),
  mcp: refused(
    'An mcp tool has the provider call foreign servers, whose answers nobody judges. Call them from the client.',
  ),
  programmatic_tool_calling: refused(
    'programmatic_tool_calling runs a program at the provider. Let the model call each tool by itself.',
  ),
};
const HOSTED_SHELL = refused(
  "A shell in a container costs a fee for each session, which no usage tells. Set environment to {type: 'local'} and run the commands in the client.",
  { code: 'unpriceable_request' },
);

/** Who may call a tool: a program at the provider may not. */
const CALLERS: Fields = { allowed_callers: list(word('direct'), 2) };
const COMMON: Fields = { ...CALLERS, cache_control: harmless };
const DEFINED: Fields = { ...COMMON, name: text, description: text, async: flag, defer_loading: flag };

/** Chat completions have a tool's definition one level deeper. */
const FLAT = refused('Put its fields beside type.', { code: 'unknown_parameter' });
const FUNCTION = object(
  { type: word('function'), function: FLAT, ...DEFINED, parameters: open, output_schema: open, strict: flag },
  'name',
);
const CUSTOM = object({ type: word('custom'), custom: FLAT, ...DEFINED, format: open }, 'name');

const LOCATION = object({ type: word('approximate'), ...CITY });
const search = (type: string): Shape =>
  object({
    type: word(type),
    external_web_access: flag,
    filters: object({ allowed_domains: list(text, DOMAINS_MAX), blocked_domains: list(text, DOMAINS_MAX) }),
    search_content_types: list(word('text'), 1),
    search_context_size: LEVEL,
    user_location: LOCATION,
    ...COMMON,
  });

/** Makes images with another model, as POST /v1/images/generations does. */
const DRAWING = object({
  type: word(DRAWING_TOOL),
  action: word('generate', 'edit', 'auto'),
  background: word('transparent', 'opaque', 'auto'),
  complexity: NO_COMPLEXITY,
  frame_count: MOVING,
  frame_duration_ms: MOVING,
  input_fidelity: word('low', 'high'),
  input_image_mask: refused('A mask is possible at POST /v1/images/edits.'),
  model: MODEL,
  // Only `auto` scores what no image is scored for.
  moderation: ours(word('auto', 'low'), { told: true }),
  output_compression: whole(0, 100),
  output_format: word('png', 'webp', 'jpeg'),
  partial_images: whole(0, PARTIALS_MAX),
  quality: pricedWord('the quality', 'auto', 'low', 'medium', 'high'),
  size: name(SIZE),
  ...COMMON,
});

/** Where the visitor's own machine runs a shell. Its skills are directories there. */
export const LOCAL = object({
  type: word('local'),
  skills: list(
    object({
      name: text,
      description: text,
      path: text,
      type: refused('Only a skill on your own machine can be used: name, description and path.'),
    }),
    SKILLS_MAX,
  ),
});
export const ENVIRONMENT = variants('type', {
  local: LOCAL,
  container_auto: HOSTED_SHELL,
  container_reference: HOSTED_SHELL,
});

/** What the visitor's own machine runs, and the search of the web. The provider's other tools are refused by name. */
export const TOOL = variants(
  'type',
  {
    function: FUNCTION,
    custom: CUSTOM,
    namespace: object(
      {
        type: word('namespace'),
        name: text,
        description: text,
        tools: list(variants('type', { function: FUNCTION, custom: CUSTOM }, 'a tool'), TOOLS_MAX),
        cache_control: harmless,
      },
      'name',
      'tools',
    ),
    apply_patch: object({ type: word('apply_patch'), ...COMMON }),
    local_shell: object({ type: word('local_shell'), ...COMMON }),
    shell: object({ type: word('shell'), environment: ENVIRONMENT, ...COMMON }, 'environment'),
    computer: object({ type: word('computer'), ...COMMON }),
    computer_use_preview: object({
      type: word('computer_use_preview'),
      display_height: whole(1, PIXELS_MAX),
      display_width: whole(1, PIXELS_MAX),
      environment: word('windows', 'mac', 'linux', 'ubuntu', 'browser'),
      ...COMMON,
    }),
    // The provider runs any other search for tools.
    tool_search: object(
      { type: word('tool_search'), execution: word('client'), description: text, parameters: open, ...COMMON },
      'execution',
    ),
    ...Object.fromEntries(SEARCH_TOOLS.map((type) => [type, search(type)])),
    [DRAWING_TOOL]: DRAWING,
    ...HOSTED,
  },
  'a tool',
);
export const TOOLS = list(TOOL, TOOLS_MAX);

const byType = (...types: string[]): Record<string, Shape> =>
  Object.fromEntries(types.map((type) => [type, object({ type: word(type) })]));

export const TOOL_CHOICE = either(
  word('none', 'auto', 'required'),
  variants('type', {
    function: object({ type: word('function'), function: FLAT, name: text, namespace: text }, 'name'),
    custom: object({ type: word('custom'), custom: FLAT, name: text, namespace: text }, 'name'),
    allowed_tools: object({ type: word('allowed_tools'), mode: word('auto', 'required'), tools: open }, 'tools'),
    ...byType(...BUILT_IN_TOOLS, 'computer_use'),
    ...HOSTED,
  }),
);

/** What `text.format` may be: plain text, or JSON of the visitor's own shape. */
export const FORMAT = variants('type', {
  text: object({ type: word('text') }),
  json_object: object({ type: word('json_object') }),
  json_schema: object(
    { type: word('json_schema'), json_schema: FLAT, name: text, description: text, schema: open, strict: flag },
    'name',
    'schema',
  ),
});
