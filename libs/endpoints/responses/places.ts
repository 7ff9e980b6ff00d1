import type { JsonObject } from '../json.js';

type Step = string | number;

/** Where in its item an event's value stands. */
export interface Place {
  /** The event's field that has the value. `output.0`: the first of a list. */
  field: string;
  /** The value goes behind what stands there already; otherwise it takes its place. */
  appends: boolean;
  /** The way into the item; empty: the item itself. */
  steps(event: JsonObject): readonly Step[];
  /** What holds the value where no event has made it yet. */
  blank?: () => JsonObject;
}

const text = (): JsonObject => ({ type: 'output_text', text: '', annotations: [] });
const refusal = (): JsonObject => ({ type: 'refusal', refusal: '' });
const thought = (): JsonObject => ({ type: 'reasoning_text', text: '' });
const summary = (): JsonObject => ({ type: 'summary_text', text: '' });

const index = (value: unknown): number => (typeof value === 'number' ? value : -1);
const inContent =
  (leaf: string): Place['steps'] =>
  ({ content_index: content }) => ['content', index(content), leaf];
const inSummary: Place['steps'] = ({ summary_index: part }) => ['summary', index(part), 'text'];
const command: Place['steps'] = ({ command_index: at }) => ['action', 'commands', index(at)];
const stdout: Place['steps'] = ({ command_index: at }) => ['output', index(at)];

const delta = (steps: Place['steps'], blank?: Place['blank']): Place => ({
  field: 'delta',
  appends: true,
  steps,
  ...(blank && { blank }),
});
const whole = (field: string, steps: Place['steps'], blank?: Place['blank']): Place => ({
  field,
  appends: false,
  steps,
  ...(blank && { blank }),
});
const of =
  (field: string): Place['steps'] =>
  () => [field];

/** By the event's type (OpenAI, "Streaming events"; openai@7). */
const PLACES: Readonly<Record<string, Place>> = {
  'response.output_item.added': whole('item', () => []),
  'response.output_item.done': whole('item', () => []),
  'response.content_part.added': whole('part', ({ content_index: at }) => ['content', index(at)]),
  'response.content_part.done': whole('part', ({ content_index: at }) => ['content', index(at)]),
  'response.output_text.delta': delta(inContent('text'), text),
  'response.output_text.done': whole('text', inContent('text'), text),
  'response.output_text.annotation.added': whole(
    'annotation',
    ({ content_index: content, annotation_index: at }) => ['content', index(content), 'annotations', index(at)],
    text,
  ),
  'response.refusal.delta': delta(inContent('refusal'), refusal),
  'response.refusal.done': whole('refusal', inContent('refusal'), refusal),
  'response.reasoning_text.delta': delta(inContent('text'), thought),
  'response.reasoning_text.done': whole('text', inContent('text'), thought),
  'response.reasoning_summary_part.added': whole('part', ({ summary_index: at }) => ['summary', index(at)]),
  'response.reasoning_summary_part.done': whole('part', ({ summary_index: at }) => ['summary', index(at)]),
  'response.reasoning_summary_text.delta': delta(inSummary, summary),
  'response.reasoning_summary_text.done': whole('text', inSummary, summary),
  'response.function_call_arguments.delta': delta(of('arguments')),
  'response.function_call_arguments.done': whole('arguments', of('arguments')),
  'response.mcp_call_arguments.delta': delta(of('arguments')),
  'response.mcp_call_arguments.done': whole('arguments', of('arguments')),
  'response.custom_tool_call_input.delta': delta(of('input')),
  'response.custom_tool_call_input.done': whole('input', of('input')),
  'response.code_interpreter_call_code.delta': delta(of('code')),
  'response.code_interpreter_call_code.done': whole('code', of('code')),
  'response.shell_call_command.added': whole('command', command),
  'response.shell_call_command.delta': delta(command),
  'response.shell_call_command.done': whole('command', command),
  'response.shell_call_output_content.delta': delta(stdout),
  'response.shell_call_output_content.done': whole('output.0', stdout),
};

export function placeOf(type: string): Place | undefined {
  return Object.hasOwn(PLACES, type) ? PLACES[type] : undefined;
}

/** Which item of the output an event is about; undefined: none. */
export function outputOf({ output_index: at }: JsonObject): number | undefined {
  return typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? at : undefined;
}

export const CREATED = 'response.created';
export const IN_PROGRESS = 'response.in_progress';
export const FAILED = 'response.failed';
const LIFE = new Set([CREATED, 'response.queued', IN_PROGRESS, 'response.completed', 'response.incomplete']);
/** Nothing of a stream follows these. */
const LAST = new Set(['response.completed', 'response.incomplete', FAILED, 'error']);

/** Tells the response itself as it is now. */
export const isOfLife = (type: string): boolean => LIFE.has(type);
export const isLastType = (type: string): boolean => LAST.has(type);
