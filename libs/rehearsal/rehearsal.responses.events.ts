import { randomBytes } from 'node:crypto';
import { begunResponse, responseOf, type ResponsesAnswer } from './rehearsal.responses.js';
import type { OutputItem, ResponsesBody } from './rehearsal.responses.types.js';
import { wordsOf } from './rehearsal.text.js';

/** One event of a stream, without its number. */
export interface ResponsesEvent {
  type: string;
  [field: string]: unknown;
}

interface Place {
  output_index: number;
  item_id: string;
}

/** The events of a stream, in order: each item after the other, as the provider sends them. */
export function* eventsOf(answer: ResponsesAnswer, body: ResponsesBody): Generator<ResponsesEvent> {
  const response = begunResponse(answer);
  yield { type: 'response.created', response };
  yield { type: 'response.in_progress', response };
  const padded = body.stream_options?.include_obfuscation !== false;
  for (const [output_index, item] of answer.items.entries()) {
    for (const event of itemEvents(item, { output_index, item_id: item.id }, answer.partials))
      yield padded && event.type.endsWith('.delta') ? { ...event, obfuscation: randomBytes(6).toString('hex') } : event;
  }
  yield { type: `response.${answer.status}`, response: responseOf(answer, answer.items) };
}

function* itemEvents(item: OutputItem, place: Place, partials: readonly string[]): Generator<ResponsesEvent> {
  const { output_index } = place;
  yield { type: 'response.output_item.added', output_index, item: begun(item) };
  yield* item.type === 'image_generation_call' ? imageEvents(item, place, partials) : innerEvents(item, place);
  yield { type: 'response.output_item.done', output_index, item };
}

function begun(item: OutputItem): OutputItem {
  const status = { status: 'in_progress' };
  switch (item.type) {
    case 'reasoning':
      return { ...item, summary: [] };
    case 'message':
      return { ...item, ...status, content: [] };
    case 'function_call':
      return { ...item, ...status, arguments: '' };
    case 'custom_tool_call':
      return { ...item, ...status, input: '' };
    case 'shell_call':
      return { ...item, ...status, action: { ...(item.action as object), commands: [] } };
    case 'web_search_call':
    case 'image_generation_call': {
      const { id, type } = item;
      return { id, type, ...status, ...(type === 'web_search_call' ? {} : { result: null }) };
    }
    default:
      return item;
  }
}

function* innerEvents(item: OutputItem, place: Place): Generator<ResponsesEvent> {
  switch (item.type) {
    case 'reasoning':
      for (const [summary_index, part] of (item.summary as { text: string }[]).entries())
        yield* summaryEvents(part, { ...place, summary_index });
      return;
    case 'message':
      for (const [content_index, part] of (item.content as MessagePart[]).entries())
        yield* partEvents(part, { ...place, content_index });
      return;
    case 'function_call': {
      const args = item.arguments as string;
      for (const delta of wordsOf(args)) yield { type: 'response.function_call_arguments.delta', ...place, delta };
      yield { type: 'response.function_call_arguments.done', ...place, name: item.name, arguments: args };
      return;
    }
    case 'custom_tool_call': {
      const input = item.input as string;
      for (const delta of wordsOf(input)) yield { type: 'response.custom_tool_call_input.delta', ...place, delta };
      yield { type: 'response.custom_tool_call_input.done', ...place, input };
      return;
    }
    case 'shell_call':
      for (const [command_index, command] of (item.action as { commands: string[] }).commands.entries()) {
        const at = { output_index: place.output_index, command_index };
        yield { type: 'response.shell_call_command.added', ...at, command: '' };
        for (const delta of wordsOf(command)) yield { type: 'response.shell_call_command.delta', ...at, delta };
        yield { type: 'response.shell_call_command.done', ...at, command };
      }
      return;
    case 'web_search_call':
      for (const step of ['in_progress', 'searching', 'completed'])
        yield { type: `response.web_search_call.${step}`, ...place };
  }
}

function* imageEvents(item: OutputItem, place: Place, partials: readonly string[]): Generator<ResponsesEvent> {
  const head = 'response.image_generation_call';
  const { size, quality, background, output_format } = item;
  for (const step of ['in_progress', 'generating']) yield { type: `${head}.${step}`, ...place };
  for (const [partial_image_index, partial_image_b64] of partials.entries())
    yield {
      type: `${head}.partial_image`,
      ...place,
      partial_image_index,
      partial_image_b64,
      size,
      quality,
      background,
      output_format,
    };
  yield { type: `${head}.completed`, ...place };
}

interface MessagePart {
  type: string;
  text?: string;
  refusal?: string;
  annotations?: readonly object[];
  logprobs?: readonly object[];
}

function* summaryEvents(part: { text: string }, place: object): Generator<ResponsesEvent> {
  const head = 'response.reasoning_summary';
  yield { type: `${head}_part.added`, ...place, part: { ...part, text: '' } };
  for (const delta of wordsOf(part.text)) yield { type: `${head}_text.delta`, ...place, delta };
  yield { type: `${head}_text.done`, ...place, text: part.text };
  yield { type: `${head}_part.done`, ...place, part };
}

function* partEvents(part: MessagePart, place: object): Generator<ResponsesEvent> {
  const { text, refusal, annotations = [], logprobs = [] } = part;
  const empty = text === undefined ? { ...part, refusal: '' } : { ...part, text: '', annotations: [], logprobs: [] };
  yield { type: 'response.content_part.added', ...place, part: empty };
  if (text === undefined) {
    for (const delta of wordsOf(refusal ?? '')) yield { type: 'response.refusal.delta', ...place, delta };
    yield { type: 'response.refusal.done', ...place, refusal };
  } else {
    for (const [index, delta] of wordsOf(text).entries())
      yield { type: 'response.output_text.delta', ...place, delta, logprobs: logprobs.slice(index, index + 1) };
    for (const [annotation_index, annotation] of annotations.entries())
      yield { type: 'response.output_text.annotation.added', ...place, annotation_index, annotation };
    yield { type: 'response.output_text.done', ...place, text, logprobs };
  }
  yield { type: 'response.content_part.done', ...place, part };
}
