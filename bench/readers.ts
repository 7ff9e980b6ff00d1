// `npm run bench:readers`: what reading and showing one part of a stream takes of a processor, chat completions and
// responses side by side with the same text. BENCH_ROUNDS sets another number of rounds. It writes its section of bench/README.md.
import { ChatReader } from '#libs/endpoints/chat/chat.reader.js';
import type { AnswerReader } from '#libs/endpoints/endpoint.js';
import { ResponsesReader } from '#libs/endpoints/responses/responses.reader.js';
import { BenchSection } from '#libs/testing/bench-page.js';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 40);
const PARTS = 2_000;
const WORDS = ' A sentence of an answer has some words, and then it comes to its end.'.match(/\s\S+/g)!;
const words = Array.from({ length: PARTS }, (_, index) => WORDS[index % WORDS.length]!);
const model = 'gpt-5.4-mini-2026-03-17';

const chunk = (delta: object, finish_reason: string | null = null): string =>
  JSON.stringify({
    id: 'chatcmpl-CXyZ0123456789abcdefghijklmnop',
    object: 'chat.completion.chunk',
    created: 1_795_708_182,
    model,
    service_tier: 'default',
    system_fingerprint: 'fp_0123456789',
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    obfuscation: 'x4Kq0a',
  });
const CHAT_EVENTS = [
  chunk({ role: 'assistant', content: '' }),
  ...words.map((content) => chunk({ content })),
  chunk({}, 'stop'),
];

const at = { item_id: 'msg_0123456789abcdef0123456789abcdef0123456789abcdef01', output_index: 0, content_index: 0 };
const text = words.join('');
const part = { type: 'output_text', text, annotations: [], logprobs: [] };
const item = { id: at.item_id, type: 'message', status: 'completed', role: 'assistant', content: [part] };
const response = {
  id: 'resp_0123',
  object: 'response',
  created_at: 1_795_708_182,
  model,
  status: 'in_progress',
  output: [],
};
const RESPONSES_EVENTS = [
  { type: 'response.created', response },
  { type: 'response.in_progress', response },
  { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
  { type: 'response.content_part.added', ...at, part: { ...part, text: '' } },
  ...words.map((delta) => ({ type: 'response.output_text.delta', ...at, delta, logprobs: [], obfuscation: 'x4Kq0a' })),
  { type: 'response.output_text.done', ...at, text, logprobs: [] },
  { type: 'response.content_part.done', ...at, part },
  { type: 'response.output_item.done', output_index: 0, item },
  { type: 'response.completed', response: { ...response, status: 'completed', output: [item] } },
].map((event, number) => JSON.stringify({ ...event, sequence_number: number }));

/** Microseconds of CPU for each part of the text, whatever the stream has beside them. */
function microseconds(reader: AnswerReader, events: readonly string[]): number {
  const before = process.cpuUsage();
  for (const data of events) for (const frame of reader.event({ data })) reader.show?.(frame.text);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / PARTS;
}

const ticket = { requestId: 'req_019abcdef0123456789abcdef0123456', model, outputs: 1, facts: {} };
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

const section = new BenchSection('readers');
const row = section.table('stream', 'chat, µs a part', 'responses, µs a part', 'times chat');
const taken = { chat: [] as number[], responses: [] as number[] };
// In turns, so that what else runs on the machine takes of both.
for (let round = 0; round < ROUNDS; round++) {
  taken.chat.push(microseconds(new ChatReader(ticket), CHAT_EVENTS));
  taken.responses.push(microseconds(new ResponsesReader(ticket), RESPONSES_EVENTS));
}
const [chat, responses] = [median(taken.chat), median(taken.responses)];
row(`${PARTS} parts of a text`, chat.toFixed(2), responses.toFixed(2), (responses / chat).toFixed(2));
section.publish();
