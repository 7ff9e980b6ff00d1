import { headOf, idOf, textOf, type ResponsesAnswer, type ResponsesWish } from './rehearsal.responses.js';
import { itemsOf } from './rehearsal.responses.refusals.js';
import { inputTokens } from './rehearsal.responses.tokens.js';
import type { OutputItem, ResponsesBody } from './rehearsal.responses.types.js';
import type { SealedContents } from './rehearsal.sealed.js';

/** What a compacted conversation costs as input. */
const COMPACTED_TOKENS = 40;

/** Compacts a conversation: the user's messages, and one item that stands for all the rest. */
export async function planCompaction(
  body: ResponsesBody,
  wish: ResponsesWish,
  sealed: SealedContents,
): Promise<ResponsesAnswer> {
  const messages = itemsOf(body).filter(({ role, type = 'message' }) => type === 'message' && role === 'user');
  const items: readonly OutputItem[] = wish.items ?? [
    ...messages.map(({ content }) => ({
      id: idOf('msg'),
      type: 'message',
      status: 'completed',
      role: 'user',
      content: typeof content === 'string' ? [{ type: 'input_text', text: textOf(content) }] : content,
    })),
    { id: idOf('cmp'), type: 'compaction', encrypted_content: sealed.make(COMPACTED_TOKENS) },
  ];
  const input_tokens = wish.usage?.input_tokens ?? (await inputTokens(body, sealed));
  const output_tokens = wish.usage?.output_tokens ?? COMPACTED_TOKENS;
  return {
    head: headOf(body),
    items,
    status: 'completed',
    incompleteReason: null,
    usage: {
      input_tokens,
      input_tokens_details: wish.usage?.input_tokens_details ?? { cached_tokens: 0, cache_write_tokens: 0 },
      output_tokens,
      output_tokens_details: wish.usage?.output_tokens_details ?? { reasoning_tokens: 0 },
      total_tokens: input_tokens + output_tokens,
    },
    beside: wish.beside ?? {},
    partials: [],
  };
}

/** As OpenAI answers with it. */
export const compactionOf = ({ head, items, usage, beside }: ResponsesAnswer): object => ({
  id: head.id,
  object: 'response.compaction',
  created_at: head.created_at,
  output: items,
  usage,
  ...beside,
});
