import type { JsonObject } from '../json.js';

/** Streams as OpenAI sends them: the same events in the same order, with made-up contents. */

const RESPONSE = {
  id: 'resp_0f3a9c5e1d2b4a6f80c1d2e3f4a5b6c7',
  object: 'response',
  created_at: 1_795_708_182,
  background: false,
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: 4_096,
  max_tool_calls: null,
  model: 'gpt-5.4-mini-2026-03-17',
  parallel_tool_calls: true,
  previous_response_id: null,
  prompt_cache_key: 'of-the-relay',
  prompt_cache_retention: null,
  reasoning: { effort: 'medium', summary: 'detailed' },
  safety_identifier: 'of-the-relay',
  service_tier: 'default',
  store: false,
  temperature: 1,
  text: { format: { type: 'text' }, verbosity: 'medium' },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
  metadata: {},
};
const USAGE = {
  input_tokens: 20,
  input_tokens_details: { cached_tokens: 8, cache_write_tokens: 2 },
  output_tokens: 12,
  output_tokens_details: { reasoning_tokens: 4 },
  total_tokens: 32,
};

interface Stream {
  name: string;
  events: readonly JsonObject[];
  /** As a whole answer would have it. */
  output: readonly JsonObject[];
}

/** What one item of a response does to its stream: events in the order in which they come. */
interface Told {
  item: JsonObject;
  events: JsonObject[];
}

function streamOf(name: string, told: readonly Told[], { interleaved = false, over = {} } = {}): Stream {
  const lanes = told.map(({ events }, output) => events.map((event) => ({ ...event, output_index: output })));
  const longest = Math.max(...lanes.map(({ length }) => length));
  const mixed = Array.from({ length: longest }, (_, at) => lanes.flatMap((lane) => lane.slice(at, at + 1))).flat();
  const output = told.map(({ item }) => item);
  const begun = { ...RESPONSE, status: 'in_progress', output: [], usage: null };
  const last = { ...RESPONSE, status: 'completed', completed_at: 1_795_708_190, output, usage: USAGE, ...over };
  const events = [
    { type: 'response.created', response: begun },
    { type: 'response.in_progress', response: begun },
    ...(interleaved ? mixed : lanes.flat()),
    { type: last.status === 'completed' ? 'response.completed' : 'response.incomplete', response: last },
  ];
  return { name, output, events: events.map((event, number) => ({ ...event, sequence_number: number })) };
}

const partsOf = (text: string): string[] => text.match(/\s*\S+/g) ?? [];
const deltas = (text: string, event: JsonObject): JsonObject[] =>
  partsOf(text).map((delta) => ({ ...event, delta, obfuscation: 'xxxx' }));
const itemEvents = (item: JsonObject, begun: JsonObject, events: readonly JsonObject[]): JsonObject[] => [
  { type: 'response.output_item.added', item: { ...item, ...begun } },
  ...events,
  { type: 'response.output_item.done', item },
];

const token = (text: string): JsonObject => ({
  token: text,
  logprob: -0.1,
  bytes: [...Buffer.from(text)],
  top_logprobs: [text, ' instead'].map((other) => ({
    token: other,
    logprob: -0.1,
    bytes: [...Buffer.from(other)],
  })),
});

function message(id: string, text: string, { logprobs = false, notes = [] as JsonObject[] } = {}): Told {
  const at = { item_id: id, content_index: 0 };
  const tokens = logprobs ? partsOf(text).map(token) : [];
  const part = { type: 'output_text', text, annotations: notes, logprobs: tokens };
  const item = { id, type: 'message', status: 'completed', role: 'assistant', phase: 'final_answer', content: [part] };
  const said = deltas(text, { type: 'response.output_text.delta', ...at }).map((event, index) => ({
    ...event,
    logprobs: logprobs ? [tokens[index]] : [],
  }));
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', content: [] }, [
      { type: 'response.content_part.added', ...at, part: { ...part, text: '', annotations: [], logprobs: [] } },
      ...said,
      ...notes.map((annotation, index) => ({
        type: 'response.output_text.annotation.added',
        ...at,
        annotation_index: index,
        annotation,
      })),
      { type: 'response.output_text.done', ...at, text, logprobs: tokens },
      { type: 'response.content_part.done', ...at, part },
    ]),
  };
}

function refusal(id: string, text: string): Told {
  const at = { item_id: id, content_index: 0 };
  const part = { type: 'refusal', refusal: text };
  const item = { id, type: 'message', status: 'completed', role: 'assistant', content: [part] };
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', content: [] }, [
      { type: 'response.content_part.added', ...at, part: { type: 'refusal', refusal: '' } },
      ...deltas(text, { type: 'response.refusal.delta', ...at }),
      { type: 'response.refusal.done', ...at, refusal: text },
      { type: 'response.content_part.done', ...at, part },
    ]),
  };
}

function reasoning(id: string, summaries: readonly string[], thought?: string): Told {
  const summary = summaries.map((text) => ({ type: 'summary_text', text }));
  const content = thought === undefined ? {} : { content: [{ type: 'reasoning_text', text: thought }] };
  const item = { id, type: 'reasoning', summary, ...content, encrypted_content: 'gAAAAABpJ-x_f0Q==' };
  const told = summaries.flatMap((text, index) => {
    const at = { item_id: id, summary_index: index };
    return [
      { type: 'response.reasoning_summary_part.added', ...at, part: { type: 'summary_text', text: '' } },
      ...deltas(text, { type: 'response.reasoning_summary_text.delta', ...at }),
      { type: 'response.reasoning_summary_text.done', ...at, text },
      { type: 'response.reasoning_summary_part.done', ...at, part: { type: 'summary_text', text } },
    ];
  });
  const at = { item_id: id, content_index: 0 };
  const open = thought === undefined ? [] : [{ type: 'reasoning_text', text: thought }];
  const thinking = open.flatMap((part) => [
    { type: 'response.content_part.added', ...at, part: { ...part, text: '' } },
    ...deltas(part.text, { type: 'response.reasoning_text.delta', ...at }),
    { type: 'response.reasoning_text.done', ...at, text: part.text },
    { type: 'response.content_part.done', ...at, part },
  ]);
  const begun = { summary: [], ...(thought === undefined ? {} : { content: [] }) };
  return { item, events: itemEvents(item, begun, [...told, ...thinking]) };
}

function call(id: string, name: string, written: string): Told {
  const item = { id, type: 'function_call', status: 'completed', call_id: `call_${id}`, name, arguments: written };
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', arguments: '' }, [
      ...deltas(written, { type: 'response.function_call_arguments.delta', item_id: id }),
      { type: 'response.function_call_arguments.done', item_id: id, name, arguments: written },
    ]),
  };
}

function customCall(id: string, name: string, input: string): Told {
  const item = { id, type: 'custom_tool_call', status: 'completed', call_id: `call_${id}`, name, input };
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', input: '' }, [
      ...deltas(input, { type: 'response.custom_tool_call_input.delta', item_id: id }),
      { type: 'response.custom_tool_call_input.done', item_id: id, input },
    ]),
  };
}

function shell(id: string, commands: readonly string[]): Told {
  const action = { commands, max_output_length: null, timeout_ms: 1_000 };
  const item = { id, type: 'shell_call', status: 'completed', call_id: `call_${id}`, action, environment: null };
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', action: { ...action, commands: [] } }, [
      ...commands.flatMap((command, index) => [
        { type: 'response.shell_call_command.added', command_index: index, command: '' },
        ...deltas(command, { type: 'response.shell_call_command.delta', command_index: index }),
        { type: 'response.shell_call_command.done', command_index: index, command },
      ]),
    ]),
  };
}

function shellOutput(id: string, of: string, stdout: string): Told {
  const outcome = { type: 'exit', exit_code: 0 };
  const output = [{ stdout, stderr: '', outcome }];
  const item = { id, type: 'shell_call_output', status: 'completed', call_id: of, max_output_length: null, output };
  const at = { item_id: id, command_index: 0 };
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', output: [] }, [
      ...partsOf(stdout).map((part) => ({
        type: 'response.shell_call_output_content.delta',
        ...at,
        delta: { stdout: part },
      })),
      { type: 'response.shell_call_output_content.done', ...at, output },
    ]),
  };
}

function code(id: string, written: string): Told {
  const item = {
    id,
    type: 'code_interpreter_call',
    status: 'completed',
    code: written,
    container_id: 'cntr_1',
    outputs: [{ type: 'logs', logs: 'four' }],
  };
  const step = (name: string): JsonObject => ({ type: `response.code_interpreter_call.${name}`, item_id: id });
  return {
    item,
    events: itemEvents(item, { status: 'in_progress', code: '', outputs: [] }, [
      step('in_progress'),
      ...deltas(written, { type: 'response.code_interpreter_call_code.delta', item_id: id }),
      { type: 'response.code_interpreter_call_code.done', item_id: id, code: written },
      step('interpreting'),
      step('completed'),
    ]),
  };
}

function search(id: string): Told {
  const action = {
    type: 'search',
    query: 'weather in Bern',
    queries: ['weather in Bern', 'Bern rain'],
    sources: [{ type: 'url', url: 'https://example.org/bern' }],
  };
  const item = { id, type: 'web_search_call', status: 'completed', action };
  const step = (name: string): JsonObject => ({ type: `response.web_search_call.${name}`, item_id: id });
  const begun = { status: 'in_progress', action: { type: 'search' } };
  return { item, events: itemEvents(item, begun, [step('in_progress'), step('searching'), step('completed')]) };
}

function cut({ item, events }: Told): Told {
  const ended = { ...item, status: 'incomplete' };
  return { item: ended, events: [...events.slice(0, -1), { type: 'response.output_item.done', item: ended }] };
}

export const STREAMS: readonly Stream[] = [
  streamOf('text with logprobs', [
    message('msg_of_the_upstream_01', 'It is sunny in Bern. \u{1F600} Enjoy it!', { logprobs: true }),
  ]),
  streamOf(
    'summaries and parallel tools, interleaved',
    [
      reasoning('rs_of_the_upstream_01', ['**Looking** at the weather.', 'Two cities at once.']),
      call('fc_of_the_upstream_01', 'get_weather', '{"city": "Bern", "why": "\\u0022sun\\u0022"}'),
      call('fc_of_the_upstream_02', 'get_weather', '{"city": "Basel"}'),
    ],
    { interleaved: true },
  ),
  streamOf('reasoning in the open', [
    reasoning('rs_of_the_upstream_01', [], 'First I think of it.'),
    message('msg_of_the_upstream_01', 'Then I say it.'),
  ]),
  streamOf('a custom tool', [customCall('ctc_of_the_upstream_01', 'apply_patch', '*** Begin Patch\n*** End Patch')]),
  streamOf('a refusal', [refusal('msg_of_the_upstream_01', 'I cannot help with that.')]),
  streamOf('shell', [shell('sh_1', ['ls -la', 'cat notes.txt']), shellOutput('sho_1', 'call_sh_1', 'a.txt b.txt')]),
  streamOf('code', [code('ci_1', 'print(2 + 2)'), message('msg_of_the_upstream_01', 'It is four.')]),
  streamOf('a search of the web', [
    search('ws_1'),
    message('msg_of_the_upstream_01', 'Rain is coming.', {
      notes: [
        { type: 'url_citation', start_index: 0, end_index: 4, title: 'Bern', url: 'https://example.org/bern' },
        { type: 'url_citation', start_index: 5, end_index: 7, title: 'Rain', url: 'https://example.org/rain' },
      ],
    }),
  ]),
  streamOf('an answer cut by its cap', [cut(message('msg_of_the_upstream_01', 'It is sunny in'))], {
    over: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
  }),
];

/** The whole answer that a stream adds up to. */
export function wholeOf({ events }: Stream): JsonObject {
  return events.at(-1)!.response as JsonObject;
}
