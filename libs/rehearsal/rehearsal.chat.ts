import { randomBytes } from 'node:crypto';
import { answerText, sampleOf, wordsOf, type JsonSchema } from './rehearsal.text.js';

interface ContentPart {
  type: string;
  text?: string;
}

interface ToolDefinition {
  type: string;
  function: { name: string; parameters?: JsonSchema };
}

/** What the rehearsal reads of a chat completion request. */
export interface ChatBody {
  model?: string;
  messages?: { role: string; content?: string | ContentPart[] | null; refusal?: string | null }[];
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  n?: number | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  tools?: ToolDefinition[];
  tool_choice?: string | { function?: { name?: string } };
  response_format?: { type: string; json_schema?: { schema?: JsonSchema } };
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  [parameter: string]: unknown;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
}

export interface ChatChoice {
  /** Its text in parts of about a token each, as the stream sends them. */
  pieces: string[];
  toolCall?: { id: string; name: string; arguments: string };
  finishReason: string;
}

export interface ChatAnswer {
  id: string;
  created: number;
  model: string;
  choices: ChatChoice[];
  usage: Usage;
  beside: object;
}

/** What a test may set of one answer. The rehearsal makes up the rest. */
export interface ChatWish {
  content?: string;
  usage?: Partial<Omit<Usage, 'total_tokens'>>;
  finishReason?: string;
  /** Fields beside the choices: in a whole answer, or in the last chunk of a stream. */
  beside?: object;
}

/** A real image costs more: this count stays below every bound that a caller could compute. */
const IMAGE_TOKENS = 10;
const TOKENS_PER_MESSAGE = 3;
const CHOICES_MAX = 128;

/** Makes up the whole answer. It counts words as tokens, so that the usage never exceeds a real tokenizer's count. */
export function planAnswer(body: ChatBody, wish: ChatWish): ChatAnswer {
  const prompt = lastUserText(body);
  const tool = wish.content === undefined ? toolAskedFor(body, prompt) : undefined;
  const outputLimit = body.max_completion_tokens ?? body.max_tokens ?? Infinity;
  const choices = Array.from({ length: Math.min(Math.max(body.n ?? 1, 1), CHOICES_MAX) }, (_, index) =>
    planChoice(body, prompt, index, outputLimit, tool, wish),
  );
  const prompt_tokens = wish.usage?.prompt_tokens ?? countPrompt(body);
  const completion_tokens =
    wish.usage?.completion_tokens ?? choices.reduce((sum, choice) => sum + outputTokens(choice), 0);
  return {
    id: `chatcmpl-${randomBytes(12).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model: body.model ?? 'unknown',
    choices,
    beside: wish.beside ?? {},
    usage: {
      prompt_tokens,
      completion_tokens,
      total_tokens: prompt_tokens + completion_tokens,
      prompt_tokens_details: wish.usage?.prompt_tokens_details ?? { cached_tokens: 0 },
      completion_tokens_details: wish.usage?.completion_tokens_details ?? { reasoning_tokens: 0 },
    },
  };
}

function planChoice(
  body: ChatBody,
  prompt: string,
  index: number,
  outputLimit: number,
  tool: ToolDefinition | undefined,
  wish: ChatWish,
): ChatChoice {
  if (tool) {
    const toolCall = {
      id: `call_${randomBytes(12).toString('hex')}`,
      name: tool.function.name,
      arguments: JSON.stringify(sampleOf(tool.function.parameters ?? {}, prompt)),
    };
    return { pieces: [], toolCall, finishReason: wish.finishReason ?? 'tool_calls' };
  }
  const pieces = wordsOf(wish.content ?? jsonAskedFor(body, prompt) ?? answerText(prompt, index));
  const cut = pieces.length > outputLimit;
  return {
    pieces: cut ? pieces.slice(0, outputLimit) : pieces,
    finishReason: wish.finishReason ?? (cut ? 'length' : 'stop'),
  };
}

export function outputTokens(choice: ChatChoice): number {
  return choice.toolCall ? 1 + wordsOf(choice.toolCall.arguments).length : choice.pieces.length;
}

export function completionOf(answer: ChatAnswer, body: ChatBody): object {
  const choices = answer.choices.map((choice, index) => ({
    index,
    message: {
      role: 'assistant',
      content: choice.toolCall ? null : choice.pieces.join(''),
      refusal: null,
      ...(choice.toolCall ? { tool_calls: [toolCallOf(choice.toolCall)] } : {}),
    },
    logprobs: body.logprobs ? { content: choice.pieces.map((piece) => logprobOf(piece, body)), refusal: null } : null,
    finish_reason: choice.finishReason,
  }));
  return {
    ...headOf(answer, 'chat.completion'),
    choices,
    usage: answer.usage,
    service_tier: tierOf(body),
    ...answer.beside,
  };
}

/** The frames of a stream, in order. The choices alternate, as in a provider's stream. */
export function* framesOf(answer: ChatAnswer, body: ChatBody): Generator<object> {
  const withUsage = body.stream_options?.include_usage === true;
  const frame = (
    index: number,
    delta: object,
    finish_reason: string | null = null,
    logprobs: object | null = null,
  ): object => ({
    ...headOf(answer, 'chat.completion.chunk'),
    service_tier: tierOf(body),
    choices: [{ index, delta, logprobs, finish_reason }],
    ...(withUsage ? { usage: null } : {}),
  });
  for (const [index, choice] of answer.choices.entries()) {
    yield frame(index, { role: 'assistant', content: choice.toolCall ? null : '', refusal: null });
    if (!choice.toolCall) continue;
    yield frame(index, { tool_calls: [{ index: 0, ...toolCallOf({ ...choice.toolCall, arguments: '' }) }] });
    for (const piece of wordsOf(choice.toolCall.arguments))
      yield frame(index, { tool_calls: [{ index: 0, function: { arguments: piece } }] });
  }
  const longest = Math.max(...answer.choices.map((choice) => choice.pieces.length));
  for (let at = 0; at < longest; at++) {
    for (const [index, { pieces }] of answer.choices.entries()) {
      const piece = pieces[at];
      if (piece !== undefined)
        yield frame(
          index,
          { content: piece },
          null,
          body.logprobs ? { content: [logprobOf(piece, body)], refusal: null } : null,
        );
    }
  }
  for (const [index, choice] of answer.choices.entries())
    yield { ...frame(index, {}, choice.finishReason), ...(index === answer.choices.length - 1 ? answer.beside : {}) };
  if (withUsage) yield { ...headOf(answer, 'chat.completion.chunk'), choices: [], usage: answer.usage };
}

const headOf = (answer: ChatAnswer, object: string): object => ({
  id: answer.id,
  object,
  created: answer.created,
  model: answer.model,
  system_fingerprint: 'fp_rehearsal',
});

/** The answer names `fast` as `priority`. A project has the standard tier unless its owner sets another. */
export function tierOf({ service_tier }: Readonly<Record<string, unknown>>): string {
  if (service_tier === 'fast') return 'priority';
  return typeof service_tier === 'string' && service_tier !== 'auto' ? service_tier : 'default';
}

const toolCallOf = (call: { id: string; name: string; arguments: string }): object => ({
  id: call.id,
  type: 'function',
  function: { name: call.name, arguments: call.arguments },
});

const logprobOf = (token: string, { top_logprobs }: ChatBody): object => ({
  ...tokenOf(token),
  top_logprobs: Array.from({ length: top_logprobs ?? 0 }, (_, index) => tokenOf(`${token}${index}`)),
});

const tokenOf = (token: string): object => ({
  token,
  logprob: -Math.random() * 20,
  bytes: [...Buffer.from(token)],
});

function textOf(content: string | ContentPart[] | null | undefined): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text ?? '').join(' ');
}

function lastUserText(body: ChatBody): string {
  return textOf(body.messages?.findLast((message) => message.role === 'user')?.content);
}

function countPrompt(body: ChatBody): number {
  let tokens = TOKENS_PER_MESSAGE;
  for (const message of body.messages ?? []) {
    tokens += TOKENS_PER_MESSAGE + wordsOf(textOf(message.content)).length;
    if (Array.isArray(message.content))
      tokens += IMAGE_TOKENS * message.content.filter((part) => part.type === 'image_url').length;
  }
  return tokens;
}

/**
 * Calls a tool where the caller insists, or where the user's message has its name or a word of it: "the weather" calls
 * get_weather.
 */
function toolAskedFor(body: ChatBody, prompt: string): ToolDefinition | undefined {
  const tools = (body.tools ?? []).filter((tool) => tool.type === 'function');
  if (tools.length === 0 || body.tool_choice === 'none') return undefined;
  if (typeof body.tool_choice === 'object')
    return tools.find(
      (tool) => tool.function.name === (body.tool_choice as { function?: { name?: string } }).function?.name,
    );
  if (body.tool_choice === 'required') return tools[0];
  if (body.messages?.at(-1)?.role !== 'user') return undefined;
  const text = prompt.toLowerCase();
  return tools.find(({ function: { name } }) =>
    [name, ...name.split(/[_-]/)].some((word) => word.length > 3 && text.includes(word.toLowerCase())),
  );
}

function jsonAskedFor(body: ChatBody, prompt: string): string | undefined {
  const format = body.response_format;
  if (format?.type === 'json_object') return JSON.stringify({ rehearsal: true, answer: answerText(prompt, 0) });
  if (format?.type === 'json_schema') return JSON.stringify(sampleOf(format.json_schema?.schema ?? {}, prompt));
  return undefined;
}
