import { DaypassError } from '#libs/contracts/errors.js';
import { TIER_PERCENT } from '#libs/money/cost.js';

/** A chat completion request that has been looked at as far as money, routing and safety need it; the rest passes untouched. */
export interface ChatRequest {
  body: Record<string, unknown>;
  model: string;
  stream: boolean;
  includeUsage: boolean;
  choices: number;
  /** The caller's own cap on one choice's output, if any. */
  capTokens: number | undefined;
  /** `auto` is `default` here: what the project is set to may be dearer, and unnamed nobody could bound it. */
  serviceTier: string;
  messages: number;
  images: number;
  originalImages: boolean;
  /** It asks for a search of the web, which costs a fee. */
  searches: boolean;
  wish: { input: boolean; output: boolean };
}

/** Parameters whose cost is bounded by what is priced here. One that is not named could cost anything, so it is refused. */
const PRICED = new Set([
  'messages',
  'model',
  'frequency_penalty',
  'function_call',
  'functions',
  'logit_bias',
  'logprobs',
  'max_completion_tokens',
  'max_tokens',
  'metadata',
  'modalities',
  'moderation',
  'n',
  'parallel_tool_calls',
  'prediction',
  'presence_penalty',
  'prompt_cache_key',
  'prompt_cache_options',
  'prompt_cache_retention',
  'reasoning_effort',
  'response_format',
  'safety_identifier',
  'seed',
  'service_tier',
  'stop',
  'store',
  'stream',
  'stream_options',
  'temperature',
  'tool_choice',
  'tools',
  'top_logprobs',
  'top_p',
  'user',
  'verbosity',
  'web_search_options',
]);
const DAYPASS_FIELDS = ['moderateInput', 'moderateOutput'] as const;
const ROLES = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function']);
const CHOICES_MAX = 128;
const MESSAGES_MAX = 2_048;
const PARTS_MAX = 2_048;
const IMAGES_MAX = 100;
/** What reads a request below here is recursive, and no honest one is this deep. */
const DEPTH_MAX = 64;
/** A field beyond these could smuggle in what is neither judged nor counted. `annotations` and `audio` come with an assistant's message that is sent back. */
const MESSAGE_FIELDS = new Set([
  'role',
  'content',
  'name',
  'tool_calls',
  'tool_call_id',
  'function_call',
  'refusal',
  'annotations',
  'audio',
]);
const PART_FIELDS: Readonly<Record<string, readonly string[]>> = {
  text: ['type', 'text', 'prompt_cache_breakpoint'],
  refusal: ['type', 'refusal'],
  image_url: ['type', 'image_url', 'prompt_cache_breakpoint'],
};
/** A cap beyond this is refused even for models whose longest answer nobody documents. */
const CAP_MAX = 10_000_000;

type Json = Record<string, unknown>;

/** @throws DaypassError `invalid_request` or `unpriceable_request`, naming the parameter */
export function parseChatRequest(raw: unknown): ChatRequest {
  if (!isRecord(raw)) throw invalid('', 'The request body must be a JSON object.');
  if (isDeeperThan(raw, DEPTH_MAX))
    throw invalid('', `The request body must not be nested deeper than ${DEPTH_MAX} levels.`);
  const body = { ...raw };
  const wish = { input: readFlag(body, 'moderateInput'), output: readFlag(body, 'moderateOutput') };
  for (const field of DAYPASS_FIELDS) delete body[field];

  for (const name of Object.keys(body)) {
    if (!PRICED.has(name)) {
      throw new DaypassError(
        'unpriceable_request',
        `The parameter '${name}' has no bounded cost here, so this key cannot use it: leave it out.`,
        {
          param: name,
        },
      );
    }
  }
  const { model } = body;
  if (typeof model !== 'string' || model === '')
    throw invalid('model', '\'model\' is required: give the name of a model, e.g. "gpt-5.4-mini".');
  const { images, originalImages, messages } = readMessages(body.messages);
  refuseUnpriced(body);

  return {
    body,
    model,
    stream: readBoolean(body, 'stream'),
    includeUsage: readStreamOptions(body),
    choices: readInteger(body, 'n', 1, CHOICES_MAX) ?? 1,
    capTokens: readCap(body),
    serviceTier: readServiceTier(body),
    messages,
    images,
    originalImages,
    searches: readSearch(body),
    wish,
  };
}

/** Headers ask for the same as the body fields: more than the policy, never less. */
export function wishOf(
  request: ChatRequest,
  headers: Record<string, string | string[] | undefined>,
): { input: boolean; output: boolean } {
  const asked = (name: string): boolean => /^(1|true|yes|on)$/i.test(String(headers[name] ?? ''));
  return {
    input: request.wish.input || asked('x-daypass-moderate-input'),
    output: request.wish.output || asked('x-daypass-moderate-output'),
  };
}

function readMessages(value: unknown): { messages: number; images: number; originalImages: boolean } {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid('messages', "'messages' must be an array with at least one message.");
  if (value.length > MESSAGES_MAX) throw invalid('messages', `'messages' must have at most ${MESSAGES_MAX} messages.`);
  let images = 0;
  let originalImages = false;
  value.forEach((message: unknown, index) => {
    const at = `messages[${index}]`;
    if (!isRecord(message)) throw invalid(at, `'${at}' must be an object with 'role' and 'content'.`);
    if (typeof message.role !== 'string' || !ROLES.has(message.role)) {
      throw invalid(`${at}.role`, `'${at}.role' must be one of ${[...ROLES].map((role) => `'${role}'`).join(', ')}.`);
    }
    const stranger = Object.keys(message).find((field) => !MESSAGE_FIELDS.has(field));
    if (stranger !== undefined)
      throw invalid(
        `${at}.${stranger}`,
        `Unknown field '${at}.${stranger}': a message has ${[...MESSAGE_FIELDS].join(', ')}.`,
      );
    if (message.audio !== undefined && message.audio !== null) throw unpriceable(`${at}.audio`, 'audio');
    const { content } = message;
    if (content === undefined || content === null || typeof content === 'string') return;
    if (!Array.isArray(content))
      throw invalid(`${at}.content`, `'${at}.content' must be a string or an array of content parts.`);
    if (content.length > PARTS_MAX)
      throw invalid(`${at}.content`, `'${at}.content' must have at most ${PARTS_MAX} parts.`);
    content.forEach((part: unknown, position) => {
      const partAt = `${at}.content[${position}]`;
      if (!isRecord(part)) throw invalid(partAt, `'${partAt}' must be an object with a 'type'.`);
      const fields =
        typeof part.type === 'string' && Object.hasOwn(PART_FIELDS, part.type) ? PART_FIELDS[part.type]! : undefined;
      if (!fields) throw unpriceable(partAt, `content of type '${JSON.stringify(part.type)}'`);
      const odd = Object.keys(part).find((field) => !fields.includes(field));
      if (odd !== undefined)
        throw invalid(`${partAt}.${odd}`, `Unknown field '${partAt}.${odd}' in a part of type '${String(part.type)}'.`);
      if (part.type !== 'image_url') return;
      const image = part.image_url;
      if (!isRecord(image) || typeof image.url !== 'string' || !/^(https?:|data:image\/)/i.test(image.url)) {
        throw invalid(`${partAt}.image_url.url`, `'${partAt}.image_url.url' must be an https or data:image/… URL.`);
      }
      if (++images > IMAGES_MAX) throw invalid('messages', `A request may have at most ${IMAGES_MAX} images.`);
      originalImages ||= image.detail === 'original';
    });
  });
  return { messages: value.length, images, originalImages };
}

function refuseUnpriced(body: Json): void {
  const { modalities, tools } = body;
  if (modalities !== undefined && modalities !== null && !Array.isArray(modalities))
    throw invalid('modalities', "'modalities' must be an array.");
  if (Array.isArray(modalities) && modalities.some((modality) => modality !== 'text'))
    throw unpriceable('modalities', 'output other than text');
  refuseUnknownModerator(body.moderation);
  if (tools === undefined || tools === null) return;
  if (!Array.isArray(tools)) throw invalid('tools', "'tools' must be an array.");
  tools.forEach((tool: unknown, index) => {
    const type = isRecord(tool) ? tool.type : undefined;
    if (type !== 'function' && type !== 'custom')
      throw unpriceable(`tools[${index}].type`, `a hosted tool (${JSON.stringify(type)})`);
  });
}

/** The provider's own verdicts, inline; its moderation models cost nothing (OpenAI, "Moderation"). */
function refuseUnknownModerator(moderation: unknown): void {
  if (moderation === undefined || moderation === null) return;
  if (!isRecord(moderation) || typeof moderation.model !== 'string')
    throw invalid('moderation', "'moderation' must be an object with a 'model'.");
  if (!moderation.model.startsWith('omni-moderation-'))
    throw unpriceable('moderation.model', `the moderation model '${moderation.model}'`);
}

function readCap(body: Json): number | undefined {
  const modern = readInteger(body, 'max_completion_tokens', 1, CAP_MAX);
  const former = readInteger(body, 'max_tokens', 1, CAP_MAX);
  if (modern !== undefined && former !== undefined) {
    throw invalid('max_tokens', "Give either 'max_completion_tokens' or 'max_tokens', not both.");
  }
  return modern ?? former;
}

function readServiceTier(body: Json): string {
  const tier = body.service_tier;
  if (tier === undefined || tier === null || tier === 'auto') return 'default';
  if (typeof tier !== 'string') throw invalid('service_tier', "'service_tier' must be a string.");
  if (!Object.hasOwn(TIER_PERCENT, tier)) throw unpriceable('service_tier', `the service tier '${tier}'`);
  return tier;
}

function readSearch(body: Json): boolean {
  const options = body.web_search_options;
  if (options === undefined || options === null) return false;
  if (!isRecord(options)) throw invalid('web_search_options', "'web_search_options' must be an object.");
  const stranger = Object.keys(options).find((field) => field !== 'search_context_size' && field !== 'user_location');
  if (stranger !== undefined) throw unpriceable(`web_search_options.${stranger}`, `the search option '${stranger}'`);
  return true;
}

function readStreamOptions(body: Json): boolean {
  const options = body.stream_options;
  if (options === undefined || options === null) return false;
  if (!isRecord(options)) throw invalid('stream_options', "'stream_options' must be an object.");
  if (body.stream !== true) throw invalid('stream_options', "'stream_options' is only allowed when 'stream' is true.");
  return readBoolean(options, 'include_usage', 'stream_options.include_usage');
}

function readFlag(body: Json, name: string): boolean {
  const value = body[name];
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw invalid(name, `'${name}' must be true or false.`);
  return value;
}

function readBoolean(body: Json, name: string, path = name): boolean {
  const value = body[name];
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw invalid(path, `'${path}' must be true or false.`);
  return value;
}

function readInteger(body: Json, name: string, least: number, most: number): number | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw invalid(name, `'${name}' must be a whole number from ${least} to ${most}.`);
  }
  return value;
}

/** Iterative, because a stack is what deep input is after. */
function isDeeperThan(value: unknown, most: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > most) return true;
    level = level
      .flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
      .filter((item) => typeof item === 'object');
  }
  return false;
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param: param || undefined });
}

function unpriceable(param: string, what: string): DaypassError {
  return new DaypassError(
    'unpriceable_request',
    `The cost of ${what} has no bound here, so this key cannot use it (parameter '${param}').`,
    { param },
  );
}
