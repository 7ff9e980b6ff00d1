// `npm run bench:steps`: what each step of one call takes of a processor, chat completions and responses side by
// side with the same text. BENCH_ROUNDS sets another number of rounds. It writes its section of bench/README.md.
import { writtenBody } from '#libs/endpoints/body.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import type { Body, CountingTools, Endpoint } from '#libs/endpoints/endpoint.js';
import { RESPONSES } from '#libs/endpoints/responses/responses.endpoint.js';
import { BenchSection } from '#libs/testing/bench-page.js';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 40);
const CALLS_OF_ROUND = 200;
const SENTENCE = 'A sentence of a question has about twenty words, some of them short, and then it comes to its end. ';
const model = 'gpt-5.4-mini';

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', description: 'Of which city.' }, days: { type: 'integer' } },
  required: ['city'],
  additionalProperties: false,
};
const TOOLS = ['weather', 'calendar', 'search', 'notes'].map((name) => ({ name, description: SENTENCE, parameters }));
const said = (turn: number): string => SENTENCE.repeat(3 + (turn % 5));

interface Pair {
  name: string;
  chat: object;
  responses: object;
}

function conversation(turns: number): Pair {
  const roles = Array.from({ length: turns }, (_, turn) => (turn % 2 === 0 ? 'user' : 'assistant'));
  return {
    name: `${turns} messages and four tools`,
    chat: {
      model,
      stream: true,
      messages: [
        { role: 'system', content: SENTENCE.repeat(8) },
        ...roles.map((role, turn) => ({ role, content: said(turn) })),
      ],
      tools: TOOLS.map((tool) => ({ type: 'function', function: tool })),
    },
    responses: {
      model,
      stream: true,
      instructions: SENTENCE.repeat(8),
      input: roles.map((role, turn) => ({
        role,
        content: [{ type: role === 'user' ? 'input_text' : 'output_text', text: said(turn) }],
      })),
      tools: TOOLS.map((tool) => ({ type: 'function', ...tool })),
    },
  };
}

const PAIRS: Pair[] = [
  {
    name: 'one short question',
    chat: { model, messages: [{ role: 'user', content: SENTENCE }] },
    responses: { model, input: SENTENCE },
  },
  conversation(9),
  conversation(99),
];

/** Counting tokens is the same for both, and is not measured. */
const tools: CountingTools = { countTokens: (texts) => Promise.resolve(texts.length), toolTokens: 0 };
const forced = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'visitor' };

const STEPS = ['parse', 'measure', 'write', 'input', 'call'] as const;
type Step = (typeof STEPS)[number];

/** Each step of a call once. Ingress does the first three, moderation the fourth, forwarding the last. */
function stepsOf(endpoint: Endpoint, json: object): Record<Step, () => unknown> {
  const text = JSON.stringify(json);
  const bodyOf = (): Body => ({ json: JSON.parse(text), blobs: [] });
  const request = endpoint.parse(bodyOf());
  const forwarded = endpoint.forwarded(request, forced);
  return {
    parse: () => endpoint.parse(bodyOf()),
    measure: () => endpoint.measure(request, tools),
    write: () => writtenBody(endpoint.forwarded(request, forced)),
    input: () => endpoint.input(forwarded),
    call: () =>
      endpoint.call(forwarded, { capTokens: 99, facts: request.facts }, { kind: 'openai', drops: [], tag: '' }),
  };
}

function microseconds(does: () => unknown): number {
  const before = process.cpuUsage();
  for (let call = 0; call < CALLS_OF_ROUND; call++) does();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / CALLS_OF_ROUND;
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

const section = new BenchSection('steps');
const row = section.table('request', 'step', 'chat, µs', 'responses, µs', 'times chat');
for (const { name, chat, responses } of PAIRS) {
  const sides = { chat: stepsOf(CHAT, chat), responses: stepsOf(RESPONSES, responses) };
  const all = { chat: 0, responses: 0 };
  for (const step of STEPS) {
    const taken = { chat: [] as number[], responses: [] as number[] };
    // In turns, so that what else runs on the machine takes of both.
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of ['chat', 'responses'] as const) taken[side].push(microseconds(sides[side][step]));
    }
    const [of, our] = [median(taken.chat), median(taken.responses)];
    all.chat += of;
    all.responses += our;
    row(name, step, of.toFixed(1), our.toFixed(1), (our / of).toFixed(2));
  }
  row(name, 'all', all.chat.toFixed(1), all.responses.toFixed(1), (all.responses / all.chat).toFixed(2));
}
section.publish();
