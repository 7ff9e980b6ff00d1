import { completionOf, framesOf, planAnswer, type ChatAnswer } from './rehearsal.chat.js';

/** A request of `POST /v1/completions`: several prompts have `n` answers each. */
export interface CompletionsBody {
  model?: string;
  n?: number;
  max_tokens?: number;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  prompt?: string | readonly unknown[];
  echo?: boolean;
  logprobs?: number;
}

interface Choice {
  index: number;
  message?: { content?: string | null };
  delta?: { content?: string | null };
  finish_reason: string | null;
}

/** The same answer as a chat gives, in the form of completions. */
export function planCompletion(body: CompletionsBody, wish: Parameters<typeof planAnswer>[1]): ChatAnswer {
  const { prompt = '', n = 1, ...rest } = body;
  const { logprobs: _, echo: __, ...asked } = rest;
  const prompts = typeof prompt === 'string' || typeof prompt[0] === 'number' ? [prompt] : prompt;
  const content = typeof prompts[0] === 'string' ? prompts.join(' ') : 'tokens';
  return planAnswer({ ...asked, n: n * prompts.length, messages: [{ role: 'user', content }] }, wish);
}

export function wholeCompletion(answer: ChatAnswer, body: CompletionsBody): object {
  return asCompletion(completionOf(answer, {}), body, 'message');
}

export function* completionFrames(answer: ChatAnswer, body: CompletionsBody): Generator<object> {
  const { stream = false, stream_options = {} } = body;
  for (const frame of framesOf(answer, { stream, stream_options })) yield asCompletion(frame, body, 'delta');
}

function asCompletion(chat: object, { logprobs }: CompletionsBody, field: 'message' | 'delta'): object {
  const { choices, service_tier: _, ...rest } = chat as { choices: Choice[]; service_tier?: string };
  return {
    ...rest,
    object: 'text_completion',
    choices: choices.map(({ index, finish_reason, ...choice }) => {
      const text = choice[field]?.content ?? '';
      return { index, text, finish_reason, logprobs: logprobs === undefined ? null : logprobsOf(text, logprobs) };
    }),
  };
}

function logprobsOf(text: string, most: number): object {
  const tokens = text === '' ? [] : [text];
  return {
    tokens,
    token_logprobs: tokens.map(() => -1),
    top_logprobs: tokens.map((token) =>
      Object.fromEntries(Array.from({ length: most }, (_, index) => [`${token}${index}`, -2])),
    ),
    text_offset: tokens.map(() => 0),
  };
}
