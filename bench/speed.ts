// `npm run bench`: Daypass beside what a user would pick instead, on one machine, against one upstream, in turns. `-- --smoke`: a short
// run that fails on errors and never on time. `-- <workload>…`: some of it. A whole run writes its section of bench/README.md.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '#libs/launch/free-port.js';
import { BenchSection } from '#libs/testing/bench-page.js';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import type { CallsOrder, CallsResult } from './speed/calls.ts';
import { bodyOf, endAll, load, PRODUCTION, serve, setUpstream, startUpstream } from './speed/harness.ts';
import { cpuOf, memoryOf } from './speed/processes.ts';
import { bars, BESIDE, details, tables, type Figures } from './speed/report.ts';
import type { StreamsResult } from './speed/streams.ts';

interface Workload {
  name: string;
  kind: 'calls' | 'streams';
  /** Calls at a time, or open streams. */
  atOnce: number;
  bodyBytes: number;
  latencyMs: number;
}

interface Candidate {
  name: string;
  url: string;
  /** A token for each kind: a campaign that judges whole answers cannot stream. */
  tokens: Record<Workload['kind'], string>;
  headers?: Record<string, string>;
  /** Its processes. The upstream and the load share the machine with them. */
  processes: readonly string[];
}

interface Measured extends Figures {
  failed: number;
}

const args = process.argv.slice(2);
const SMOKE = args.includes('--smoke');
const wanted = args.filter((name) => !name.startsWith('--'));
const ROUNDS = SMOKE ? 1 : Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = SMOKE ? 1 : Number(process.env.BENCH_SECONDS ?? 5);
/** V8 compiles what runs often: a process that has answered a few thousand calls is another than a fresh one. */
const WARM_SECONDS = SMOKE ? 0 : 10;
const HERE = import.meta.dirname;
const PROCESSES = {
  ingress: /apps\/ingress\/main/,
  moderation: /apps\/moderation\/main/,
  forwarding: /apps\/forwarding\/main/,
  accounting: /apps\/accounting\/main/,
  redis: /redis-server/,
  postgres: /postgres/,
  portkey: /start-server\.js/,
  passthrough: /speed\/passthrough/,
  upstream: /speed\/upstream/,
  load: /speed\/(calls|streams)/,
};
const DAYPASS = ['ingress', 'moderation', 'forwarding', 'accounting', 'redis', 'postgres'] as const;

const calls = (atOnce: number, bodyBytes = 1_000, latencyMs = 0): Workload => ({
  name: `${atOnce} at a time${bodyBytes > 1_000 ? `, ${bodyBytes / 1_000} kB` : ''}${latencyMs > 0 ? `, ${latencyMs} ms` : ''}`,
  kind: 'calls',
  atOnce,
  bodyBytes,
  latencyMs,
});
const streams = (atOnce: number): Workload => ({
  name: `${atOnce} streams`,
  kind: 'streams',
  atOnce,
  bodyBytes: 1_000,
  latencyMs: 0,
});
const ALL = [
  ...[1, 16, 64, 256].map((atOnce) => calls(atOnce)),
  calls(16, 20_000),
  calls(16, 200_000),
  calls(64, 1_000, 300),
  calls(256, 1_000, 300),
  ...[100, 500, 1_000].map(streams),
];
const workloads = SMOKE
  ? [calls(1), calls(16), streams(50)]
  : wanted.length > 0
    ? ALL.filter(({ name }) => wanted.includes(name))
    : ALL;

/** As its documentation says, with the versions that its streams work with; installed beside its package.json at the first run. */
async function startPortkey(): Promise<string> {
  const folder = join(HERE, 'speed', 'portkey');
  if (!existsSync(join(folder, 'node_modules'))) {
    const { status } = spawnSync(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'],
      { cwd: folder, stdio: 'inherit' },
    );
    if (status !== 0) throw new Error('Portkey could not be installed: is the npm registry reached?');
  }
  const port = await freePort();
  await serve(process.execPath, [
    join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js'),
    `--port=${port}`,
    '--headless',
  ]);
  return `http://127.0.0.1:${port}`;
}

async function candidatesOf(upstream: string, daypass: Daypass): Promise<Candidate[]> {
  const key = async (input: string, output: string): Promise<string> => {
    const campaign = { budget_usd: '1000000', moderation: { input, output } };
    return (await daypass.createKey({ campaign, key: { budget_usd: '100000', limits: { concurrent: 100_000 } } })).key;
  };
  const [whole, windows, unjudged] = await Promise.all([key('gate', 'gate'), key('gate', 'window'), key('off', 'off')]);
  const any = { calls: 'sk-bench', streams: 'sk-bench' };
  const [portkey, port] = await Promise.all([
    startPortkey(),
    serve(process.execPath, [join(HERE, 'speed/passthrough.ts'), upstream]),
  ]);
  return [
    { name: 'Daypass', url: daypass.baseUrl, tokens: { calls: whole, streams: windows }, processes: DAYPASS },
    {
      name: 'Daypass, unjudged',
      url: daypass.baseUrl,
      tokens: { calls: unjudged, streams: unjudged },
      processes: DAYPASS,
    },
    {
      name: BESIDE,
      url: `${portkey}/v1`,
      tokens: any,
      headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstream}/v1` },
      processes: ['portkey'],
    },
    { name: 'Fastify + undici', url: `http://127.0.0.1:${port}/v1`, tokens: any, processes: ['passthrough'] },
    { name: 'upstream alone', url: `${upstream}/v1`, tokens: any, processes: [] },
  ];
}

function orderOf({ url, tokens, headers }: Candidate, { kind, atOnce, bodyBytes }: Workload): CallsOrder {
  return {
    url: `${url}/chat/completions`,
    headers: { 'content-type': 'application/json', ...headers },
    tokens: [tokens[kind]],
    body: bodyOf(bodyBytes, kind === 'streams'),
    atOnce,
    seconds: SECONDS,
  };
}

async function measure(candidate: Candidate, workload: Workload, redis: Redis): Promise<Measured> {
  const order = orderOf(candidate, workload);
  const before = { cpu: cpuOf(PROCESSES), redis: await commandsOf(redis) };
  let memory: Record<string, number> = {};
  // Memory while the candidate works, not afterwards.
  const look = setTimeout(() => (memory = memoryOf(PROCESSES)), (order.seconds * 1_000) / 2);
  const figures =
    workload.kind === 'calls'
      ? await load<CallsResult>('calls.ts', order).then(({ answered, failed, seconds, p50Ms, p99Ms }) => ({
          done: answered,
          failed,
          seconds,
          p50Ms,
          p99Ms,
          gapP99Ms: 0,
        }))
      : await load<StreamsResult>('streams.ts', order).then(
          ({ ended, broken, seconds, firstP50Ms, firstP99Ms, gapP99Ms }) => ({
            done: ended,
            failed: broken,
            seconds,
            p50Ms: firstP50Ms,
            p99Ms: firstP99Ms,
            gapP99Ms,
          }),
        );
  clearTimeout(look);
  const after = { cpu: cpuOf(PROCESSES), redis: await commandsOf(redis) };
  const perCall = (amount: number): number => amount / Math.max(1, figures.done);
  return {
    ...figures,
    // A load without any answer has failed, whatever it reports.
    failed: figures.failed + (figures.done === 0 ? 1 : 0),
    perSecond: figures.done / figures.seconds,
    cpu: Object.fromEntries(
      candidate.processes.map((name) => [name, 1_000 * perCall(after.cpu[name]! - before.cpu[name]!)]),
    ),
    memory: Object.fromEntries(candidate.processes.map((name) => [name, memory[name] ?? 0])),
    redisScripts: perCall(after.redis.scripts - before.redis.scripts),
    redisCommands: perCall(after.redis.commands - before.redis.commands),
  };
}

/** Since Redis started; commands within scripts count as commands, too. */
async function commandsOf(redis: Redis): Promise<{ scripts: number; commands: number }> {
  const info = await redis.info('all');
  const number = (pattern: RegExp): number => Number(pattern.exec(info)?.[1] ?? 0);
  return {
    scripts: number(/^cmdstat_evalsha:calls=(\d+)/m) + number(/^cmdstat_fcall:calls=(\d+)/m),
    commands: number(/^total_commands_processed:(\d+)/m),
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** The median of each figure by itself. */
function medianOf(rounds: readonly Measured[]): Measured {
  const of = (pick: (round: Measured) => number): number => median(rounds.map(pick));
  const each = (pick: (round: Measured) => Record<string, number>): Record<string, number> =>
    Object.fromEntries(Object.keys(pick(rounds[0]!)).map((name) => [name, of((round) => pick(round)[name]!)]));
  return {
    perSecond: of((round) => round.perSecond),
    p50Ms: of((round) => round.p50Ms),
    p99Ms: of((round) => round.p99Ms),
    gapP99Ms: of((round) => round.gapP99Ms),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
    cpu: each((round) => round.cpu),
    memory: each((round) => round.memory),
    redisScripts: of((round) => round.redisScripts),
    redisCommands: of((round) => round.redisCommands),
  };
}

const upstream = await startUpstream();
const daypass = await startDaypass({
  upstream: { url: `${upstream}/v1` },
  durable: true,
  env: { ...PRODUCTION, DAYPASS_MAX_CALLS: '5000', DAYPASS_CONCURRENCY: '2000' },
});
const redis = new Redis(daypass.redisUrl);
const results = new Map<Workload, Map<string, Measured>>();
let failed = 0;
try {
  const candidates = await candidatesOf(upstream, daypass);
  if (WARM_SECONDS > 0) {
    for (const candidate of candidates)
      await load<CallsResult>('calls.ts', { ...orderOf(candidate, calls(64)), seconds: WARM_SECONDS });
  }
  for (const workload of workloads) {
    await setUpstream(upstream, { latencyMs: workload.latencyMs, chunks: 100, gapMs: 10 });
    const rounds = new Map<string, Measured[]>(candidates.map(({ name }) => [name, []]));
    for (let round = 0; round < ROUNDS; round++) {
      // Each candidate is first, second, … as often as the others.
      for (let n = 0; n < candidates.length; n++) {
        const candidate = candidates[(round + n) % candidates.length]!;
        // The first seconds of a process are not like its later ones.
        if (round === 0) await measure(candidate, workload, redis);
        rounds.get(candidate.name)!.push(await measure(candidate, workload, redis));
      }
    }
    const medians = new Map([...rounds].map(([name, measured]) => [name, medianOf(measured)]));
    results.set(workload, medians);
    for (const [name, { perSecond, p50Ms, p99Ms, gapP99Ms, failed: broken }] of medians) {
      failed += broken;
      const gap = workload.kind === 'streams' ? `, gap p99 ${gapP99Ms.toFixed(1)} ms` : '';
      process.stdout.write(
        `${workload.name.padEnd(26)} ${name.padEnd(18)} ${perSecond.toFixed(0).padStart(6)}/s  p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms${gap}${broken > 0 ? `, ${broken} FAILED` : ''}\n`,
      );
    }
  }
} finally {
  redis.disconnect();
  endAll();
  await daypass.stop();
}
const section = new BenchSection('speed', 'bench');
section.text(`Medians of ${ROUNDS} rounds of ${SECONDS} s.`);
section.text(tables(results));
process.stdout.write(`\n${section.markdown()}\n\n${details(results)}`);
if (!SMOKE && workloads.length === ALL.length && failed === 0) {
  mkdirSync(join(HERE, 'results'), { recursive: true });
  writeFileSync(join(HERE, 'results', 'speed.svg'), bars(results));
  section.publish();
}
process.exitCode = failed === 0 ? 0 : 1;
