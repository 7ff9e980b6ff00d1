// `npm run bench:responses`: what a response costs beside a chat completion of the same text, in turns, on one machine, against one
// upstream. It fails where a response costs more than its share. `-- --smoke`: a short run that fails on errors only. A whole run writes its
// section of bench/README.md.
import { BenchSection } from '#libs/testing/bench-page.js';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import type { CallsOrder, CallsResult } from './speed/calls.ts';
import { asResponse, bodyOf, endAll, load, PRODUCTION, setUpstream, startUpstream } from './speed/harness.ts';
import { cpuOf } from './speed/processes.ts';
import type { StreamsResult } from './speed/streams.ts';

const SMOKE = process.argv.includes('--smoke');
const ROUNDS = SMOKE ? 1 : Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = SMOKE ? 1 : Number(process.env.BENCH_SECONDS ?? 5);
/** V8 compiles what runs often: a process that has answered a few thousand calls is another than a fresh one. */
const WARM_SECONDS = SMOKE ? 0 : 10;
const AT_ONCE = 16;
const STREAMS = 50;
/** Each call puts an entry on its key's shelf, which makes room for it after some: the first turn must still be there. */
const KEYS = 32;
const BODY_BYTES = 1_000;
/** At most so many times a chat completion's CPU (issue 20). */
const MOST = { alone: 1.25, continued: 1.5 };
const PROCESSES = {
  ingress: /apps\/ingress\/main/,
  moderation: /apps\/moderation\/main/,
  forwarding: /apps\/forwarding\/main/,
  accounting: /apps\/accounting\/main/,
  redis: /redis-server/,
  postgres: /postgres/,
};

type Kind = 'calls' | 'streams';

interface Candidate {
  path: '/chat/completions' | '/responses';
  /** One for each key. */
  bodies: readonly string[];
}

interface Pair {
  name: string;
  kind: Kind;
  chat: Candidate;
  response: Candidate;
  most: number;
}

interface Cost {
  /** Milliseconds of CPU for a call, by process. */
  cpu: Record<string, number>;
  failed: number;
}

const QUESTION = 'What did the people of the village hear about the mountains? '.repeat(8);

/** The messages of a chat body, with what came before them. */
function afterTurn(chat: string, answer: string): string {
  const { messages, ...rest } = JSON.parse(chat) as { messages: object[] };
  const turn = [
    { role: 'user', content: QUESTION },
    { role: 'assistant', content: answer },
  ];
  return JSON.stringify({ ...rest, messages: [...turn, ...messages] });
}

/** A first turn, which the later calls name or repeat. */
async function firstTurn(daypass: Daypass, token: string): Promise<{ id: string; answer: string }> {
  const answered = await fetch(`${daypass.baseUrl}/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ model: 'gpt-5.4-mini', input: QUESTION, max_output_tokens: 400 }),
  });
  if (!answered.ok) throw new Error(`the first turn got ${answered.status}: ${await answered.text()}`);
  const { id, output } = (await answered.json()) as { id: string; output: { content: { text: string }[] }[] };
  return { id, answer: output[0]!.content[0]!.text };
}

async function pairsOf(daypass: Daypass, tokens: Record<Kind, readonly string[]>): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const kind of ['calls', 'streams'] as const) {
    const name = kind === 'calls' ? 'whole' : 'streamed';
    const body = bodyOf(BODY_BYTES, kind === 'streams');
    const firstTurns = await Promise.all(tokens[kind].map((token) => firstTurn(daypass, token)));
    const each = (of: (turn: { id: string; answer: string }) => string): string[] => firstTurns.map(of);
    pairs.push(
      {
        name,
        kind,
        chat: { path: '/chat/completions', bodies: each(() => body) },
        response: { path: '/responses', bodies: each(() => asResponse(body)) },
        most: MOST.alone,
      },
      {
        name: `${name}, second turn`,
        kind,
        chat: { path: '/chat/completions', bodies: each(({ answer }) => afterTurn(body, answer)) },
        response: { path: '/responses', bodies: each(({ id }) => asResponse(body, { previous_response_id: id })) },
        most: MOST.continued,
      },
    );
  }
  return pairs;
}

async function measure(
  daypass: Daypass,
  tokens: readonly string[],
  kind: Kind,
  { path, bodies }: Candidate,
  seconds: number,
): Promise<Cost> {
  const order: CallsOrder = {
    url: `${daypass.baseUrl}${path}`,
    headers: { 'content-type': 'application/json' },
    tokens,
    body: '',
    bodies,
    atOnce: kind === 'calls' ? AT_ONCE : STREAMS,
    seconds,
    end: path === '/responses' ? 'event: response.completed' : '[DONE]',
  };
  const before = cpuOf(PROCESSES);
  const { done, failed } =
    kind === 'calls'
      ? await load<CallsResult>('calls.ts', order).then((result) => ({ done: result.answered, failed: result.failed }))
      : await load<StreamsResult>('streams.ts', order).then(({ ended, broken }) => ({ done: ended, failed: broken }));
  const after = cpuOf(PROCESSES);
  return {
    cpu: Object.fromEntries(
      Object.keys(PROCESSES).map((name) => [name, (1_000 * (after[name]! - before[name]!)) / Math.max(1, done)]),
    ),
    // A load without any answer has failed, whatever it reports.
    failed: failed + (done === 0 ? 1 : 0),
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const sum = ({ cpu }: Cost): number => Object.values(cpu).reduce((total, amount) => total + amount, 0);

const upstream = await startUpstream();
const daypass = await startDaypass({
  upstream: { url: `${upstream}/v1` },
  durable: true,
  env: {
    ...PRODUCTION,
    DAYPASS_MAX_CALLS: '5000',
    DAYPASS_CONCURRENCY: '2000',
  },
});
const section = new BenchSection('responses');
section.text(
  `Medians of ${ROUNDS} rounds of ${SECONDS} s. CPU of all services and stores for 1,000 calls, in seconds.`,
);
const row = section.table('', 'chat completion', 'response', 'ratio', 'at most');
let [failed, dear] = [0, 0];
try {
  const keysOf = async (output: string): Promise<string[]> => {
    const wish = { budget_usd: '10000', limits: { concurrent: 100_000 } };
    const campaign = { budget_usd: '1000000', moderation: { input: 'gate', output } };
    const first = await daypass.createKey({ campaign, key: wish });
    const others = Array.from({ length: KEYS - 1 }, () => daypass.createKey({ campaign: first.campaign, key: wish }));
    return [first, ...(await Promise.all(others))].map(({ key }) => key);
  };
  const tokens = { calls: await keysOf('gate'), streams: await keysOf('window') };
  await setUpstream(upstream, { latencyMs: 0, chunks: 100, gapMs: 10 });
  const pairs = await pairsOf(daypass, tokens);
  if (WARM_SECONDS > 0) {
    for (const { kind, chat, response } of pairs.slice(0, 3)) {
      for (const candidate of [chat, response]) await measure(daypass, tokens[kind], kind, candidate, WARM_SECONDS);
    }
  }
  for (const { name, kind, chat, response, most } of pairs) {
    const costs: { chat: Cost; response: Cost }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const of = (candidate: Candidate): Promise<Cost> => measure(daypass, tokens[kind], kind, candidate, SECONDS);
      // Each is first as often as the other.
      const [first, second] = round % 2 === 0 ? [chat, response] : [response, chat];
      const [one, other] = [await of(first), await of(second)];
      costs.push(round % 2 === 0 ? { chat: one, response: other } : { chat: other, response: one });
    }
    failed += costs.reduce((total, cost) => total + cost.chat.failed + cost.response.failed, 0);
    const middle = (pick: (cost: (typeof costs)[number]) => Cost): number =>
      median(costs.map((cost) => sum(pick(cost))));
    const [chatMs, responseMs] = [middle((cost) => cost.chat), middle((cost) => cost.response)];
    const ratio = responseMs / chatMs;
    if (ratio > most) dear++;
    row(name, chatMs.toFixed(2), responseMs.toFixed(2), `${ratio.toFixed(2)} ×`, `${most} ×`);
    const parts = Object.keys(PROCESSES).map((process) => {
      const of = (pick: (cost: (typeof costs)[number]) => Cost): string =>
        median(costs.map((cost) => pick(cost).cpu[process]!)).toFixed(2);
      return `${process} ${of((cost) => cost.chat)} → ${of((cost) => cost.response)}`;
    });
    process.stdout.write(`    ${parts.join(', ')}\n`);
  }
} finally {
  await endAll();
  await daypass.stop();
}
if (!SMOKE && failed === 0) section.publish();
if (failed > 0) process.stdout.write(`${failed} calls FAILED\n`);
if (dear > 0) process.stdout.write(`${dear} pairs cost more than their share\n`);
process.exitCode = failed > 0 || (!SMOKE && dear > 0) ? 1 : 0;
