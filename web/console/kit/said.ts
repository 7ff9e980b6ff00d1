/** Who said what in a request or an answer. */
export interface Said {
  who: string;
  text: string;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The words in a content of the OpenAI APIs. A part that is no text stands there by its type. */
function wordsOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (Array.isArray(content)) return content.map(wordsOf).filter(Boolean).join('\n');
  if (!isObject(content)) return '';
  if (typeof content.text === 'string') return content.text;
  if (typeof content.refusal === 'string') return content.refusal;
  return typeof content.type === 'string' ? `[${content.type}]` : '';
}

/** The turns of a request, in its order; none where its form is unknown, so that only its JSON tells. */
export function saidIn(asked: unknown): Said[] {
  if (typeof asked === 'string') return [{ who: 'text', text: asked }];
  if (!isObject(asked)) return [];
  const turns = [asked.messages, asked.input].find(Array.isArray) as unknown[] | undefined;
  const said: Said[] = [asked.instructions, asked.input, asked.prompt].flatMap((text, index) =>
    typeof text === 'string' ? [{ who: index === 0 ? 'instructions' : 'user', text }] : [],
  );
  for (const turn of turns ?? []) {
    if (typeof turn === 'string') said.push({ who: 'user', text: turn });
    else if (isObject(turn)) {
      const who = typeof turn.role === 'string' ? turn.role : typeof turn.type === 'string' ? turn.type : 'part';
      const text = wordsOf(turn.content ?? turn.output ?? turn.arguments) || (turn.tool_calls ? '[tool calls]' : '');
      said.push({ who, text });
    }
  }
  return said.filter(({ text }) => text !== '');
}

/** What was judged, as people read it. */
export function judgedWords(judged: unknown): string {
  if (typeof judged === 'string') return judged;
  return wordsOf(judged) || JSON.stringify(judged, null, 2);
}
