import { randomBytes } from 'node:crypto';
import { tierOf } from './rehearsal.chat.js';
import { planImages, type ImagesPlan } from './rehearsal.images.js';
import { itemsOf, reasons } from './rehearsal.responses.refusals.js';
import { cutAt, inputTokens, REASONING_TOKENS } from './rehearsal.responses.tokens.js';
import type {
  OutputItem,
  ResponsesBody,
  ResponsesItem,
  ResponsesPart,
  ResponsesTool,
  ResponsesUsage,
} from './rehearsal.responses.types.js';
import type { SealedContents } from './rehearsal.sealed.js';
import { answerText, sampleOf, wordsOf } from './rehearsal.text.js';

export interface ResponsesAnswer {
  /** The response without its output and its end. */
  head: Readonly<Record<string, unknown>>;
  items: readonly OutputItem[];
  status: 'completed' | 'incomplete';
  incompleteReason: string | null;
  usage: ResponsesUsage;
  beside: object;
  /** Drawn before the last image. */
  partials: readonly string[];
}

/** What a test may set of one answer. The rehearsal makes up the rest. Output whose tokens are set is not cut. */
export interface ResponsesWish {
  content?: string;
  /** The model says no, in these words. */
  refusal?: string;
  /** The whole output, in the place of what the rehearsal makes up. */
  items?: readonly OutputItem[];
  usage?: Partial<Omit<ResponsesUsage, 'total_tokens'>>;
  /** Why the answer ends early, e.g. `content_filter`. */
  incompleteReason?: string;
  /** Fields of the response as it is at its end. */
  beside?: object;
  /** Of the images in their order, partial ones first: those that the moderation of the rehearsal flags. */
  flaggedImages?: readonly number[];
}

/** The model refuses to answer a text with this phrase. */
export const REFUSED_PHRASE = 'DAYPASS-REHEARSAL-REFUSE';
const REFUSAL = 'I cannot help with that.';
const SUMMARY = 'The user wants an answer. I say what I would do, step by step.';
const DRAWS = 'image_generation';
/** What a hosted search reads. */
const SEARCH_TOKENS = 50;
const CALLABLE = new Set([
  'function',
  'custom',
  'shell',
  'local_shell',
  'apply_patch',
  'computer',
  'tool_search',
  'web_search',
  'web_search_preview',
  'image_generation',
]);

export const idOf = (prefix: string): string => `${prefix}_${randomBytes(25).toString('hex')}`;

/** Makes up the whole answer. Tokens are counted with the model's tokenizer. */
export async function planResponse(
  body: ResponsesBody,
  wish: ResponsesWish,
  sealed: SealedContents,
): Promise<ResponsesAnswer> {
  const images = wish.items ? null : await planDrawing(body);
  const planned = wish.items ?? plannedItems(body, wish, sealed, images);
  const wished = wish.usage?.output_tokens;
  const cut =
    wished === undefined
      ? await cutAt(planned, body.max_output_tokens ?? Infinity)
      : { items: planned, tokens: wished, whole: true };
  const incompleteReason = wish.incompleteReason ?? (cut.whole ? null : 'max_output_tokens');
  const reasoned = cut.items.some(({ type }) => type === 'reasoning');
  const searches = cut.items.filter(({ type }) => type === 'web_search_call').length;
  const input_tokens = wish.usage?.input_tokens ?? (await inputTokens(body, sealed)) + SEARCH_TOKENS * searches;
  return {
    head: headOf(body),
    items: cut.items,
    status: incompleteReason === null ? 'completed' : 'incomplete',
    incompleteReason,
    usage: {
      input_tokens,
      input_tokens_details: wish.usage?.input_tokens_details ?? { cached_tokens: 0, cache_write_tokens: 0 },
      output_tokens: cut.tokens,
      output_tokens_details: wish.usage?.output_tokens_details ?? {
        reasoning_tokens: reasoned ? Math.min(REASONING_TOKENS, cut.tokens) : 0,
      },
      total_tokens: input_tokens + cut.tokens,
    },
    beside: {
      tool_usage: { image_gen: images?.usage ?? NO_IMAGES, web_search: { num_requests: searches } },
      ...wish.beside,
    },
    partials: Array.from({ length: images?.partials ?? 0 }, (_, index) => imageOf(images!, index, wish)),
  };
}

const NO_IMAGES = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { image_tokens: 0, text_tokens: 0 },
  total_tokens: 0,
};

export function headOf(body: ResponsesBody): Readonly<Record<string, unknown>> {
  return {
    id: idOf('resp'),
    object: 'response',
    created_at: Math.floor(Date.now() / 1_000),
    background: false,
    error: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    model: body.model,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    prompt_cache_retention: body.prompt_cache_retention ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: tierOf(body),
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: { type: 'text' }, verbosity: 'medium', ...body.text },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    user: null,
    metadata: body.metadata ?? {},
  };
}

/** The response as it is while it is being made (`items` empty), or at its end. */
export function responseOf(
  { head, status, incompleteReason, usage, beside }: ResponsesAnswer,
  items: readonly OutputItem[],
): object {
  return {
    ...head,
    status,
    completed_at: status === 'completed' ? Math.floor(Date.now() / 1_000) : null,
    incomplete_details: incompleteReason === null ? null : { reason: incompleteReason },
    output: items,
    usage,
    ...beside,
  };
}

export const begunResponse = ({ head }: ResponsesAnswer): object => ({
  ...head,
  status: 'in_progress',
  completed_at: null,
  incomplete_details: null,
  output: [],
  usage: null,
});

/** The image that the last message asks for. null: it asks for none. */
async function planDrawing(body: ResponsesBody): Promise<ImagesPlan | null> {
  const items = itemsOf(body);
  const prompt = lastText(items);
  const tool = toolsAskedFor(body, items, prompt).find(({ type }) => type === DRAWS);
  if (!tool) return null;
  const { model = 'gpt-image-2', size, quality, output_format, background, partial_images = 0 } = tool;
  const asked = { model, prompt, size, quality, output_format, background };
  const set = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  const plan = await planImages('generations', { ...set, stream: true, partial_images }, []);
  if ('status' in plan) throw new Error(plan.error.message);
  return { ...plan, partials: body.stream === true ? partial_images : 0 };
}

const imageOf = (plan: ImagesPlan, index: number, { flaggedImages = [] }: ResponsesWish): string =>
  plan.draw(index, { flagged: flaggedImages.includes(index) });

function drawnBy(plan: ImagesPlan, prompt: string, wish: ResponsesWish): OutputItem {
  return {
    id: idOf('ig'),
    type: 'image_generation_call',
    status: 'completed',
    action: 'generate',
    ...plan.shared,
    result: imageOf(plan, plan.partials, wish),
    revised_prompt: `As drawn: ${prompt}`,
  };
}

function plannedItems(
  body: ResponsesBody,
  wish: ResponsesWish,
  sealed: SealedContents,
  images: ImagesPlan | null,
): readonly OutputItem[] {
  const items = itemsOf(body);
  if (items.at(-1)?.type === 'compaction_trigger')
    return [{ id: idOf('cmp'), type: 'compaction', encrypted_content: sealed.make(REASONING_TOKENS) }];
  const reasoning = reasons(body.model ?? '') && body.reasoning?.effort !== 'none' ? [reasoningOf(body, sealed)] : [];
  const prompt = lastText(items);
  if (wish.content !== undefined || wish.refusal !== undefined)
    return [...reasoning, messageOf(body, wish.content ?? '', wish.refusal)];
  const asked = toolsAskedFor(body, items, prompt);
  if (images) return [...reasoning, drawnBy(images, prompt, wish), messageOf(body, 'Here it is.')];
  const calls = asked.filter(({ type }) => !type.startsWith('web_search'));
  if (calls.length > 0) return [...reasoning, ...calls.map((tool) => callOf(tool, prompt))];
  const refused = prompt.includes(REFUSED_PHRASE) ? REFUSAL : undefined;
  const message = messageOf(body, jsonAskedFor(body, prompt) ?? answerText(prompt, 0), refused);
  return asked.length > 0 ? [...reasoning, searchOf(body, prompt), cited(message)] : [...reasoning, message];
}

function reasoningOf(body: ResponsesBody, sealed: SealedContents): OutputItem {
  const { summary, generate_summary } = body.reasoning ?? {};
  return {
    id: idOf('rs'),
    type: 'reasoning',
    summary: summary != null || generate_summary != null ? [{ type: 'summary_text', text: SUMMARY }] : [],
    ...(body.include?.includes('reasoning.encrypted_content')
      ? { encrypted_content: sealed.make(REASONING_TOKENS) }
      : {}),
  };
}

function messageOf(body: ResponsesBody, text: string, refusal?: string): OutputItem {
  const part =
    refusal === undefined
      ? { type: 'output_text', annotations: [], logprobs: logprobsOf(text, body), text }
      : { type: 'refusal', refusal };
  return { id: idOf('msg'), type: 'message', status: 'completed', content: [part], role: 'assistant' };
}

/** A real model's logprobs are of its tokens: here they are of words. */
function logprobsOf(text: string, body: ResponsesBody): object[] {
  if (!body.include?.includes('message.output_text.logprobs')) return [];
  return wordsOf(text).map((token) => ({
    ...logprobOf(token),
    top_logprobs: Array.from({ length: body.top_logprobs ?? 0 }, (_, index) => logprobOf(`${token}${index}`)),
  }));
}

const logprobOf = (token: string): object => ({
  token,
  logprob: -Math.random() * 20,
  bytes: [...Buffer.from(token)],
});

/** The part of a message that has text. The message itself cites the page that `searchOf` has found. */
function cited(message: OutputItem): OutputItem {
  const [part] = message.content as [{ text?: string }];
  const note = { type: 'url_citation', start_index: 0, end_index: 4, title: PAGE.title, url: PAGE.url };
  return part.text === undefined ? message : { ...message, content: [{ ...part, annotations: [note] }] };
}

const PAGE = { title: 'A page that the rehearsal made up', url: 'https://example.com/rehearsal' };

function searchOf(body: ResponsesBody, prompt: string): OutputItem {
  const query = prompt.slice(0, 100);
  const sources = body.include?.includes('web_search_call.action.sources')
    ? { sources: [{ type: 'url', url: PAGE.url }] }
    : {};
  const action = { type: 'search', query, queries: [query], ...sources };
  return { id: idOf('ws'), type: 'web_search_call', status: 'completed', action };
}

function callOf(tool: ResponsesTool & { namespace?: string }, prompt: string): OutputItem {
  const head = { status: 'completed', call_id: `call_${randomBytes(12).toString('hex')}` };
  const named = { name: tool.name, ...(tool.namespace === undefined ? {} : { namespace: tool.namespace }) };
  switch (tool.type) {
    case 'custom':
      return { id: idOf('ctc'), type: 'custom_tool_call', ...head, ...named, input: `rehearsal of ${tool.name}` };
    case 'shell':
      return {
        ...{ id: idOf('sh'), type: 'shell_call', ...head, environment: { type: 'local' } },
        action: { commands: ['echo rehearsal', 'true'], max_output_length: null, timeout_ms: 1_000 },
      };
    case 'local_shell':
      return {
        ...{ id: idOf('lsh'), type: 'local_shell_call', ...head },
        action: { type: 'exec', command: ['echo', 'rehearsal'], env: {}, timeout_ms: 1_000 },
      };
    case 'apply_patch':
      return {
        ...{ id: idOf('apc'), type: 'apply_patch_call', ...head },
        operation: { type: 'create_file', path: 'rehearsal.txt', diff: '+rehearsal\n' },
      };
    case 'computer':
      return {
        ...{ id: idOf('cu'), type: 'computer_call', ...head, pending_safety_checks: [] },
        actions: [{ type: 'type', text: 'rehearsal' }],
      };
    case 'tool_search':
      return {
        ...{ id: idOf('tsc'), type: 'tool_search_call', ...head, execution: 'client' },
        arguments: { query: 'rehearsal' },
      };
    default: {
      const args = JSON.stringify(sampleOf(tool.parameters ?? {}, prompt));
      return { id: idOf('fc'), type: 'function_call', ...head, arguments: args, ...named };
    }
  }
}

/**
 * Calls tools where the caller insists, or where the last message has their names: all that are named in full, else the
 * first of which it has a word, as "the weather" calls get_weather.
 */
function toolsAskedFor(
  body: ResponsesBody,
  items: readonly ResponsesItem[],
  prompt: string,
): readonly (ResponsesTool & { namespace?: string })[] {
  const choice = body.tool_choice ?? 'auto';
  const given = [...(body.tools ?? []), ...items.flatMap(({ tools }) => tools ?? [])];
  const all = given
    .flatMap((tool) =>
      tool.type === 'namespace' ? (tool.tools ?? []).map((inner) => ({ ...inner, namespace: tool.name! })) : [tool],
    )
    .filter(({ type, execution }) => CALLABLE.has(type) && (type !== 'tool_search' || execution === 'client'));
  const tools = typeof choice === 'object' && choice.type === 'allowed_tools' ? among(all, choice.tools ?? []) : all;
  const most = (found: typeof tools): typeof tools => (body.parallel_tool_calls === false ? found.slice(0, 1) : found);
  if (choice === 'none') return [];
  if (typeof choice === 'object' && choice.type !== 'allowed_tools') return most(among(tools, [choice]));
  if (lastAsker(items)?.role !== 'user') return [];
  const text = prompt.toLowerCase();
  const found = tools.filter((tool) => text.includes(wordOf(tool)));
  if (found.length > 0) return most(found);
  const near = tools.find((tool) =>
    wordOf(tool)
      .split(/[_-]/)
      .some((word) => word.length > 3 && text.includes(word)),
  );
  const insisted = choice === 'required' || (typeof choice === 'object' && choice.mode === 'required');
  return near ? [near] : insisted ? tools.slice(0, 1) : [];
}

const wordOf = ({ name, type }: ResponsesTool): string => (name ?? type).toLowerCase();

const among = <T extends ResponsesTool>(tools: readonly T[], named: readonly ResponsesTool[]): readonly T[] =>
  tools.filter(({ type, name }) => named.some((one) => one.type === type && one.name === name));

/** The item that the model answers. */
const lastAsker = (items: readonly ResponsesItem[]): ResponsesItem | undefined =>
  items.findLast(({ type }) => type !== 'additional_tools' && type !== 'configuration_update');

/** The last message of the user, or what a tool gave back since. */
function lastText(items: readonly ResponsesItem[]): string {
  const last = items.findLast(({ role, type }) => role === 'user' || type?.endsWith('_output'));
  if (last?.type?.endsWith('_output')) return textOf(last.output);
  return textOf(last?.content);
}

export function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return (content as readonly ResponsesPart[]).map(({ text }) => text ?? '').join(' ');
}

function jsonAskedFor({ text }: ResponsesBody, prompt: string): string | undefined {
  if (text?.format?.type === 'json_object') return JSON.stringify({ rehearsal: true, answer: answerText(prompt, 0) });
  if (text?.format?.type === 'json_schema') return JSON.stringify(sampleOf(text.format.schema ?? {}, prompt));
  return undefined;
}
