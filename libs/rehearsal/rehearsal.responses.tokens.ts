import { countTextTokens } from '#libs/money/tokens.js';
import { itemsOf } from './rehearsal.responses.refusals.js';
import type { OutputItem, ResponsesBody } from './rehearsal.responses.types.js';
import type { SealedContents } from './rehearsal.sealed.js';
import { wordsOf } from './rehearsal.text.js';

export const REASONING_TOKENS = 14;
/** A real image costs more: this count stays below every bound that a caller could compute. */
const IMAGE_TOKENS = 10;
const TOKENS_PER_ITEM = 3;

/** Marks, which no model is billed for. */
const MARKS = new Set(['type', 'role', 'status', 'phase', 'detail', 'id', 'call_id', 'image_url', 'execution']);

/** What the provider counts of a request before hosted searches. */
export async function inputTokens(body: ResponsesBody, sealed: SealedContents): Promise<number> {
  const items = itemsOf(body);
  const texts = [body.instructions ?? '', ...textsOf(body.tools ?? [])];
  let tokens = TOKENS_PER_ITEM;
  for (const { encrypted_content: content, ...item } of items) {
    tokens += TOKENS_PER_ITEM + (content == null ? 0 : (sealed.tokensOf(content) ?? 0));
    tokens += IMAGE_TOKENS * (JSON.stringify(item).match(/"type":"input_image"/g) ?? []).length;
    texts.push(...textsOf(item));
  }
  return tokens + (await countTextTokens(texts, 'o200k_base'));
}

/** Every string in a value, and the names in it that somebody chose. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (MARKS.has(name) ? [] : textsOf(inner)));
}

/** What an item's tokens are counted from. */
function outputTexts({ type, summary, content, name, arguments: args, input, action, operation }: OutputItem) {
  if (type === 'reasoning') return textsOf(summary);
  if (type === 'message')
    return textsOf((content as { text?: string; refusal?: string }[]).map((part) => part.text ?? part.refusal));
  return textsOf([name, args, input, action, operation]);
}

/** The output up to its limit of tokens: the last item of a cut one is incomplete. */
export async function cutAt(
  items: readonly OutputItem[],
  limit: number,
): Promise<{ items: readonly OutputItem[]; tokens: number; whole: boolean }> {
  const kept: OutputItem[] = [];
  let left = limit;
  for (const item of items) {
    const tokens =
      item.type === 'reasoning' ? REASONING_TOKENS : await countTextTokens(outputTexts(item), 'o200k_base');
    if (tokens <= left) {
      kept.push(item);
      left -= tokens;
      continue;
    }
    if (left > 0) kept.push(await shortened(item, left));
    return { items: kept, tokens: limit, whole: false };
  }
  return { items: kept, tokens: limit === Infinity ? await tokensOf(items) : limit - left, whole: true };
}

async function tokensOf(items: readonly OutputItem[]): Promise<number> {
  const reasonings = items.filter(({ type }) => type === 'reasoning').length;
  const others = items.filter(({ type }) => type !== 'reasoning');
  return reasonings * REASONING_TOKENS + (await countTextTokens(others.flatMap(outputTexts), 'o200k_base'));
}

async function shortened(item: OutputItem, tokens: number): Promise<OutputItem> {
  const cut = async (text: string): Promise<string> => {
    const words = wordsOf(text);
    let fits = '';
    for (const word of words) {
      if ((await countTextTokens([fits + word], 'o200k_base')) > tokens) break;
      fits += word;
    }
    return fits;
  };
  const ended = { ...item, status: 'incomplete' };
  if (typeof item.arguments === 'string') return { ...ended, arguments: await cut(item.arguments) };
  if (typeof item.input === 'string') return { ...ended, input: await cut(item.input) };
  if (item.type !== 'message') return ended;
  const [part] = item.content as [{ text?: string; refusal?: string; logprobs?: unknown[] }];
  if (part.text === undefined) return { ...ended, content: [{ ...part, refusal: await cut(part.refusal ?? '') }] };
  const text = await cut(part.text);
  const logprobs = (part.logprobs ?? []).slice(0, wordsOf(text).length);
  return { ...ended, content: [{ ...part, text, logprobs, annotations: [] }] };
}
