// `npm run bench:endpoints`: what a call of each endpoint takes beside the least that a gateway can do, in CPU time of all processes and
// in time. Arguments name the endpoints to measure. A whole run writes its section of bench/README.md.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { png } from '#libs/rehearsal/png.js';
import { wav } from '#libs/rehearsal/wav.js';
import { BenchSection } from '#libs/testing/bench-page.js';
import { startDaypass } from '#libs/testing/daypass.js';
import { endAll, MODEL, PRODUCTION, serve } from './speed/harness.ts';
import { cpuOf } from './speed/processes.ts';

const SMOKE = process.argv.includes('--smoke');
const ROUNDS = SMOKE ? 1 : 4;
/** Some hundred calls: until then V8 compiles. */
const LEAD_IN_ROUNDS = SMOKE ? 1 : 8;
const CALLS = SMOKE ? 2 : 40;
/** The books of a call follow it. */
const BOOKS_MS = 500;
const FILE_SECONDS = 30;
const IMAGES = 'gpt-image-2';
const EMBEDDINGS = 'text-embedding-3-small';
const TRANSCRIBE = 'gpt-4o-mini-transcribe';
const SPEECH = 'gpt-4o-mini-tts';

const PROCESSES = {
  ingress: /apps\/ingress\/main/,
  moderation: /apps\/moderation\/main/,
  forwarding: /apps\/forwarding\/main/,
  accounting: /apps\/accounting\/main/,
  redis: /redis-server/,
  postgres: /postgres/,
  passthrough: /speed\/passthrough/,
};
const DAYPASS = ['ingress', 'moderation', 'forwarding', 'accounting', 'redis', 'postgres'] as const;

type Sent = string | FormData;

let made = 0;
/** Never the same twice, because Daypass remembers verdicts. */
const text = (): string => `${process.pid}x${made++} A stranger tells the village about distant mountains.`;
const json = (fields: object): string => JSON.stringify(fields);

function form(field: string, file: Uint8Array, type: string, fields: Record<string, string>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append(field, new Blob([new Uint8Array(file)], { type }), type.replace('/', '.'));
  return form;
}

const sound = wav(FILE_SECONDS);
/** A picture of its own, so that nobody knows its verdict. */
const picture = (): Uint8Array => png(512, 512, randomBytes(4).readUInt32BE());

const WORKLOADS: Record<string, { path: string; body: () => Sent }> = {
  chat: {
    path: '/chat/completions',
    body: () => json({ model: MODEL, max_completion_tokens: 100, messages: [{ role: 'user', content: text() }] }),
  },
  responses: { path: '/responses', body: () => json({ model: MODEL, max_output_tokens: 100, input: text() }) },
  embeddings: { path: '/embeddings', body: () => json({ model: EMBEDDINGS, input: text() }) },
  moderations: { path: '/moderations', body: () => json({ model: 'omni-moderation-latest', input: text() }) },
  'images, generated': {
    path: '/images/generations',
    body: () => json({ model: IMAGES, prompt: text(), size: '1024x1024', quality: 'low' }),
  },
  'images, edited': {
    path: '/images/edits',
    body: () =>
      form('image', picture(), 'image/png', { model: IMAGES, prompt: text(), size: '1024x1024', quality: 'low' }),
  },
  transcriptions: {
    path: '/audio/transcriptions',
    body: () => form('file', sound, 'audio/wav', { model: TRANSCRIBE, prompt: text() }),
  },
  speech: { path: '/audio/speech', body: () => json({ model: SPEECH, voice: 'alloy', input: text() }) },
};

interface Candidate {
  name: string;
  url: string;
  token: string;
  processes: readonly (keyof typeof PROCESSES)[];
}

interface Figures {
  cpuMs: number;
  tookMs: number[];
}

async function measure(candidate: Candidate, { path, body }: (typeof WORKLOADS)[string]): Promise<Figures> {
  const before = cpuOf(PROCESSES);
  const tookMs: number[] = [];
  for (let call = 0; call < CALLS; call++) {
    const sent = body();
    const headers = {
      authorization: `Bearer ${candidate.token}`,
      ...(typeof sent === 'string' ? { 'content-type': 'application/json' } : {}),
    };
    const begunMs = performance.now();
    const answer = await fetch(`${candidate.url}${path}`, { method: 'POST', headers, body: sent });
    const bytes = await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${candidate.name}, ${path}: ${Buffer.from(bytes).toString()}`);
    tookMs.push(performance.now() - begunMs);
  }
  await sleep(BOOKS_MS);
  const after = cpuOf(PROCESSES);
  const seconds = candidate.processes.reduce((sum, name) => sum + after[name]! - before[name]!, 0);
  return { cpuMs: (1_000 * seconds) / CALLS, tookMs };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const shown = (values: readonly number[]): string => median(values).toFixed(1);

const named = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const chosen = Object.entries(WORKLOADS).filter(([name]) => named.length === 0 || named.includes(name));
const daypass = await startDaypass({ durable: true, env: { ...PRODUCTION, DAYPASS_KEY_BYTES_PER_HOUR: '0' } });
try {
  const { key } = await daypass.createKey({
    campaign: { budget_usd: '1000000', models: [MODEL, EMBEDDINGS, IMAGES, TRANSCRIBE, SPEECH] },
    key: { budget_usd: '100000' },
  });
  const upstream = new URL(daypass.rehearsal.url).origin;
  const { said: port } = await serve(process.execPath, [join(import.meta.dirname, 'speed/passthrough.ts'), upstream]);
  const candidates: [Candidate, Candidate] = [
    { name: 'Daypass', url: daypass.baseUrl, token: key, processes: DAYPASS },
    {
      name: 'Fastify + undici',
      url: `http://127.0.0.1:${port}/v1`,
      token: 'sk-rehearsal',
      processes: ['passthrough'],
    },
  ];
  const section = new BenchSection('endpoints');
  section.text(`Medians of ${ROUNDS} rounds of ${CALLS} calls. A recording has ${FILE_SECONDS} seconds.`);
  const row = section.table(
    'endpoint',
    'Daypass, CPU-ms a call',
    'Fastify + undici',
    'Daypass, p50 in ms',
    'Fastify + undici',
  );
  for (const [name, workload] of chosen) {
    const all = candidates.map(() => [] as Figures[]);
    for (let round = -LEAD_IN_ROUNDS; round < ROUNDS; round++) {
      for (const [index, candidate] of candidates.entries()) {
        const figures = await measure(candidate, workload);
        if (round >= 0) all[index]!.push(figures);
      }
    }
    const [ours, bare] = all.map((rounds) => ({
      cpu: shown(rounds.map(({ cpuMs }) => cpuMs)),
      took: shown(rounds.flatMap(({ tookMs }) => tookMs)),
    }));
    row(name, ours!.cpu, bare!.cpu, ours!.took, bare!.took);
  }
  if (!SMOKE && named.length === 0) section.publish();
} finally {
  await endAll();
  await daypass.stop();
}
