// `npm run bench:embeddings`: what embeddings of 2,048 inputs cost beside the least that a gateway can do, in CPU time of all processes,
// and the longest turn of each event loop. A whole run writes its section of bench/README.md.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Pool } from 'undici';
import { redisKeys } from '#libs/redis/keys.js';
import { BenchSection } from '#libs/testing/bench-page.js';
import { startDaypass } from '#libs/testing/daypass.js';
import { endAll, PRODUCTION, serve, startUpstream } from './speed/harness.ts';
import { cpuOf } from './speed/processes.ts';

const SMOKE = process.argv.includes('--smoke');
const ROUNDS = SMOKE ? 1 : 3;
const CALLS = SMOKE ? 2 : 10;
const WARM_CALLS = SMOKE ? 1 : 5;
const INPUTS = 2_048;
/** About a sentence of twenty words. */
const TEXT =
  'The people of the village gathered around the fountain and listened to the stranger telling about distant mountains.';

const model = 'text-embedding-3-small';
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
const LOOPS = ['ingress', 'moderation', 'forwarding'] as const;

interface Candidate {
  name: string;
  url: string;
  token: string;
  /** Texts that come again have their verdicts in the cache. */
  fresh: boolean;
  format: 'base64' | 'float';
  processes: readonly (keyof typeof PROCESSES)[];
}

interface Figures {
  cpuMs: Record<string, number>;
  wallMs: number;
}

let made = 0;
function bodyOf({ fresh, format }: Candidate): string {
  const mark = fresh ? `${process.pid}x${made++} ` : '';
  const input = Array.from({ length: INPUTS }, (_, index) => `${mark}${index} ${TEXT}`);
  // As floats 2,048 vectors of 1,536 numbers are larger than Daypass passes on.
  return JSON.stringify({ model, input, encoding_format: format, dimensions: format === 'float' ? 512 : 1_536 });
}

async function measure(candidate: Candidate, calls: number): Promise<Figures> {
  const { origin, pathname } = new URL(`${candidate.url}/embeddings`);
  const pool = new Pool(origin, { connections: 1, bodyTimeout: 0, headersTimeout: 0 });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${candidate.token}` };
  const before = cpuOf(PROCESSES);
  const begunMs = performance.now();
  for (let call = 0; call < calls; call++) {
    const answer = await pool.request({ path: pathname, method: 'POST', headers, body: bodyOf(candidate) });
    if (answer.statusCode !== 200) throw new Error(`${candidate.name}: ${await answer.body.text()}`);
    let bytes = 0;
    for await (const piece of answer.body as AsyncIterable<Buffer>) bytes += piece.length;
    if (bytes < 5_000_000) throw new Error(`${candidate.name}: ${bytes} bytes`);
  }
  const wallMs = (performance.now() - begunMs) / calls;
  // The books of a call follow it.
  await sleep(500);
  const after = cpuOf(PROCESSES);
  await pool.close();
  const cpuMs = Object.fromEntries(
    candidate.processes.map((name) => [name, (1_000 * (after[name]! - before[name]!)) / calls]),
  );
  return { cpuMs, wallMs };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const sumOf = (cpuMs: Record<string, number>): number => Object.values(cpuMs).reduce((sum, one) => sum + one, 0);

const upstream = await startUpstream();
const daypass = await startDaypass({
  upstream: { url: `${upstream}/v1` },
  durable: true,
  env: { ...PRODUCTION, DAYPASS_KEY_BYTES_PER_HOUR: '0' },
});
const redis = new Redis(daypass.redisUrl);
/** Since the process was last asked, in ms. */
const longestTurn = async (service: (typeof LOOPS)[number]): Promise<number> => {
  const text = await (await fetch(`${daypass.opsUrls[service]}/metrics`)).text();
  return 1_000 * Number(/^nodejs_eventloop_lag_max_seconds(?:\{[^}]*\})? (\S+)/m.exec(text)?.[1]);
};
try {
  const key = async (moderation: object): Promise<string> => {
    const campaign = { budget_usd: '1000000', models: [model], moderation };
    return (await daypass.createKey({ campaign, key: { budget_usd: '100000' } })).key;
  };
  const [judged, unjudged] = [await key({}), await key({ embeddings: 'off' })];
  const { said: port } = await serve(process.execPath, [join(import.meta.dirname, 'speed/passthrough.ts'), upstream]);
  const passthrough = { url: `http://127.0.0.1:${port}/v1`, token: 'sk-bench', processes: ['passthrough'] as const };
  const ours = { url: daypass.baseUrl, processes: DAYPASS };
  const candidates: Candidate[] = [
    { name: 'Fastify + undici', ...passthrough, fresh: true, format: 'base64' },
    { name: 'Daypass, unjudged', ...ours, token: unjudged, fresh: true, format: 'base64' },
    { name: 'Daypass, known texts', ...ours, token: judged, fresh: false, format: 'base64' },
    { name: 'Daypass, new texts', ...ours, token: judged, fresh: true, format: 'base64' },
    { name: 'Daypass, 512 floats', ...ours, token: unjudged, fresh: true, format: 'float' },
  ];
  const rounds = new Map<string, Figures[]>(candidates.map(({ name }) => [name, []]));
  const turns = new Map<string, number[]>(LOOPS.map((service) => [service, []]));
  for (const candidate of candidates) await measure(candidate, WARM_CALLS);
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < candidates.length; n++) {
      const candidate = candidates[(round + n) % candidates.length]!;
      await Promise.all(LOOPS.map(longestTurn));
      const figures = await measure(candidate, CALLS);
      rounds.get(candidate.name)!.push(figures);
      const cpu = Object.entries(figures.cpuMs).map(([name, ms]) => `${name} ${ms.toFixed(0)}`);
      const lags = candidate.processes === DAYPASS ? await Promise.all(LOOPS.map(longestTurn)) : [];
      for (const [index, lag] of lags.entries()) turns.get(LOOPS[index]!)!.push(lag);
      process.stdout.write(
        `${candidate.name}: ${cpu.join(', ')}; longest turns ${lags.map((lag) => lag.toFixed(0)).join(', ')} ms\n`,
      );
      for (const bucket of await redis.keys(redisKeys.verdicts('*'))) if (candidate.fresh) await redis.del(bucket);
    }
  }
  const section = new BenchSection('embeddings');
  section.text(
    `${INPUTS} inputs of about 22 tokens, vectors of 1,536 numbers in base64 (17 MB) where nothing else is said, one call at a time. Medians of ${ROUNDS} rounds of ${CALLS} calls.`,
  );
  const row = section.table('', 'CPU of all processes', 'beside Fastify + undici', 'its parts', 'a call takes');
  const of = (name: string, process: string): number =>
    median(rounds.get(name)!.map(({ cpuMs }) => cpuMs[process] ?? 0));
  const least = median(rounds.get('Fastify + undici')!.map(({ cpuMs }) => sumOf(cpuMs)));
  for (const { name, processes } of candidates) {
    const cpu = median(rounds.get(name)!.map(({ cpuMs }) => sumOf(cpuMs)));
    const parts = processes.filter((one) => of(name, one) >= 1).map((one) => `${one} ${of(name, one).toFixed(0)}`);
    const wall = median(rounds.get(name)!.map(({ wallMs }) => wallMs));
    row(name, `${cpu.toFixed(0)} ms`, `${(cpu / least).toFixed(1)} ×`, parts.join(', '), `${wall.toFixed(0)} ms`);
  }
  const longest = LOOPS.map((service) => `${service} ${median(turns.get(service)!).toFixed(0)} ms`);
  section.text(`The longest turn of an event loop in a round, as the processes report it: ${longest.join(', ')}.`);
  process.stdout.write(`\n${section.markdown()}\n`);
  if (!SMOKE) section.publish();
} finally {
  redis.disconnect();
  await endAll();
  await daypass.stop();
}
process.exit(0);
