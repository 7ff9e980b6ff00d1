/** OpenAI's own form of output that moderation took away: the choice is there, empty, with `content_filter` as its reason. */
export function blockedCompletion(completion: Record<string, unknown>): Record<string, unknown> {
  const choices = Array.isArray(completion.choices) ? (completion.choices as unknown[]) : [];
  return {
    ...completion,
    choices: choices.map((choice, index) => ({
      index: (choice as { index?: unknown } | null)?.index ?? index,
      message: { role: 'assistant', content: null, refusal: null },
      logprobs: null,
      finish_reason: 'content_filter',
    })),
  };
}

/**
 * The same for a stream: a first and a closing chunk for each choice, built on the stream's first chunk for its id and model.
 * Where something of it was shown, only the closing ones.
 */
export function blockedStream(
  first: Record<string, unknown>,
  choices: number,
  usage: Record<string, unknown> | null,
  begun = false,
): string {
  const { id, created, model } = first;
  const head = { id, object: 'chat.completion.chunk', created, model };
  const asked = usage ? { usage: null } : {};
  const chunk = (index: number, delta: object, finish_reason: string | null): object => ({
    ...head,
    choices: [{ index, delta, logprobs: null, finish_reason }],
    ...asked,
  });
  const indices = Array.from({ length: choices }, (_, index) => index);
  const chunks = [
    ...(begun ? [] : indices.map((index) => chunk(index, { role: 'assistant', content: '' }, null))),
    ...indices.map((index) => chunk(index, {}, 'content_filter')),
  ];
  if (usage) chunks.push({ ...head, choices: [], usage });
  return `${chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`).join('')}data: [DONE]\n\n`;
}
