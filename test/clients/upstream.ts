import type { ChatOverride } from '#libs/rehearsal/rehearsal.chat.face.js';
import type { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import type { OutputItem, ResponsesBody, ResponsesItem } from '#libs/rehearsal/rehearsal.responses.types.js';
import { answerTo, WEATHER, type History } from './weather.ts';

type Tool = NonNullable<ResponsesBody['tools']>[number];

/** Makes the rehearsal a model that knows the weather from tools only. */
export function knowWeather(rehearsal: Rehearsal): void {
  rehearsal.onChat = ({ messages = [] }): ChatOverride =>
    wishOf(answerTo(historyOf(messages, messages.at(-1)?.role === 'tool' ? messages.at(-1)?.content : undefined)));
  rehearsal.onResponses = ({ input, tools }) => {
    const items: readonly ResponsesItem[] =
      typeof input === 'string' ? [{ role: 'user', content: input }] : (input ?? []);
    const last = items.at(-1);
    if (last?.type === 'compaction_trigger') return undefined;
    const text = answerTo(historyOf(items, last?.type?.endsWith('_call_output') ? last.output : undefined));
    const shell = shellOf([...(tools ?? []), ...items.flatMap((item) => item.tools ?? [])]);
    return text === undefined && shell !== undefined ? { items: [shell] } : wishOf(text);
  };
}

const wishOf = (content: string | undefined): { content?: string } => (content === undefined ? {} : { content });

function historyOf(items: readonly { type?: string; role?: string; content?: unknown }[], output: unknown): History {
  return {
    asked: items.filter(({ role }) => role === 'user').map(({ content }) => textOf(content)),
    output: output === undefined ? undefined : textOf(output),
    compacted: items.some(({ type }) => type === 'compaction'),
  };
}

/** Of a text, or of parts. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return Array.isArray(content) ? content.map(({ text = '' }: { text?: string }) => text).join('') : '';
}

/** The call of a coding agent's shell, in the form of the tool that the agent brought. */
function shellOf(tools: readonly Tool[], namespace?: string): OutputItem | undefined {
  const command = `echo '${WEATHER}'`;
  const callId = `call_${Math.random().toString(36).slice(2)}`;
  const head = { status: 'completed', call_id: callId, ...(namespace === undefined ? {} : { namespace }) };
  for (const { type, name, tools: inner } of tools) {
    const nested = type === 'namespace' ? shellOf(inner ?? [], name) : undefined;
    if (nested) return nested;
    if (type === 'custom' && name === 'exec') {
      const input = `text((await tools.exec_command({ cmd: ${JSON.stringify(command)} })).output)`;
      return { id: `ctc_${callId}`, type: 'custom_tool_call', ...head, name, input };
    }
    const call = { id: `fc_${callId}`, type: 'function_call', ...head, name };
    if (name === 'exec_command') return { ...call, arguments: JSON.stringify({ cmd: command }) };
    if (name === 'bash') return { ...call, arguments: JSON.stringify({ command, description: 'Prints the weather' }) };
  }
  return undefined;
}
