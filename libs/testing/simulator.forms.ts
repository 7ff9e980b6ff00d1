/** Tokens. */
export interface Used {
  input: number;
  output: number;
}

/** How one API asks and answers. */
export interface AnswerForm {
  /** Tokens of all its outputs together. */
  capOf(body: Record<string, unknown>): number;
  /** What the provider counts before the call. */
  promptOf(body: Record<string, unknown>): readonly unknown[];
  whole(body: Record<string, unknown>, content: string, used: Used): object;
  /** What a stream sends before its texts, for a text, and after them. */
  frames(
    body: Record<string, unknown>,
    content: string,
    used: Used,
  ): { before(): string; of(text: string): string; after(): string };
}

export const CHAT: AnswerForm = {
  capOf: (body) => Number(body.max_completion_tokens ?? body.max_tokens ?? 16) * Number(body.n ?? 1),
  promptOf: ({ messages }) => [messages],
  whole: (body, content, used) => ({
    ...chatHead(body),
    object: 'chat.completion',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content } }],
    usage: chatUsage(used),
  }),
  frames: (body, _, used) => {
    const head = { ...chatHead(body), object: 'chat.completion.chunk' };
    const chunk = (delta: object, finish_reason: string | null): string =>
      `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
    return {
      before: () => '',
      of: (content) => chunk({ role: 'assistant', content }, null),
      after: () =>
        `${chunk({}, 'stop')}data: ${JSON.stringify({ ...head, choices: [], usage: chatUsage(used) })}\n\ndata: [DONE]\n\n`,
    };
  },
};

const chatHead = ({ model }: Record<string, unknown>): object => ({
  id: 'chatcmpl-simulated',
  created: Math.floor(Date.now() / 1_000),
  model,
});

const chatUsage = ({ input, output }: Used): object => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
});

export const RESPONSES: AnswerForm = {
  capOf: ({ max_output_tokens: cap }) => Number(cap ?? 16),
  promptOf: ({ instructions, input, tools }) => [instructions, input, tools],
  whole: (body, content, used) => responseOf(body, 'completed', [messageOf(content)], used),
  frames: (body, content, used) => {
    let sequence_number = 0;
    const event = (type: string, fields: object): string =>
      `event: response.${type}\ndata: ${JSON.stringify({ type: `response.${type}`, sequence_number: sequence_number++, ...fields })}\n\n`;
    const at = { output_index: 0, item_id: MESSAGE_ID, content_index: 0 };
    const message = messageOf(content);
    const [part] = message.content;
    const response = responseOf(body, 'in_progress', [], null);
    return {
      before: () =>
        event('created', { response }) +
        event('in_progress', { response }) +
        event('output_item.added', { output_index: 0, item: { ...message, status: 'in_progress', content: [] } }) +
        event('content_part.added', { ...at, part: { ...part, text: '' } }),
      of: (delta) => event('output_text.delta', { ...at, delta, logprobs: [] }),
      after: () =>
        event('output_text.done', { ...at, text: content, logprobs: [] }) +
        event('content_part.done', { ...at, part }) +
        event('output_item.done', { output_index: 0, item: message }) +
        event('completed', { response: responseOf(body, 'completed', [message], used) }),
    };
  },
};

const MESSAGE_ID = 'msg_simulated';

const messageOf = (text: string) => ({
  id: MESSAGE_ID,
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [{ type: 'output_text', text, annotations: [], logprobs: [] }] as const,
});

const responseOf = (
  { model, instructions, tools, tool_choice, store, service_tier }: Record<string, unknown>,
  status: string,
  output: readonly object[],
  used: Used | null,
): object => ({
  id: 'resp_simulated',
  object: 'response',
  created_at: Math.floor(Date.now() / 1_000),
  status,
  error: null,
  incomplete_details: null,
  instructions: instructions ?? null,
  metadata: {},
  model,
  output,
  parallel_tool_calls: true,
  service_tier: service_tier ?? 'default',
  store: store ?? true,
  temperature: 1,
  tool_choice: tool_choice ?? 'auto',
  tools: tools ?? [],
  top_p: 1,
  usage: used && {
    input_tokens: used.input,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: used.output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: used.input + used.output,
  },
});
