// `npm run bench`: Daypass beside what a user would pick instead, on one machine, against one upstream, in turns, and what a call costs.
// `-- shapes`: larger calls, slower ones and streams. `-- <workload>…`: some of either. `-- --smoke`: a short run that fails on errors and
// never on time. The first two write their sections of bench/README.md.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BenchSection } from '#libs/testing/bench-page.js';
import { startHost, startOthers, type Candidate } from './speed/candidates.ts';
import { freshFigures, type FreshPlan } from './speed/fresh.ts';
import { endAll, setUpstream, startUpstream } from './speed/harness.ts';
import { idle, loaded, measure, type Extent } from './speed/measure.ts';
import { readPeers } from './speed/peers.ts';
import { bars, callTables, processTable, scriptTable, speedTable } from './speed/report.ts';
import { JUDGED, Results, sum } from './speed/results.ts';
import { whenDrained } from './speed/books.ts';
import { scriptTimes } from './speed/script-times.ts';
import { FEW_STREAMS, MANY, MORE, ONE, SHAPES, TABLE, type Workload } from './speed/workloads.ts';

interface Plan {
  warmSeconds: number;
  /** Before each turn, and not counted: a process is slower when it has waited. */
  leadSeconds: number;
  idleSeconds: number;
  scriptSeconds: number;
  fresh: FreshPlan;
}

const args = process.argv.slice(2);
const SMOKE = args.includes('--smoke');
const names = args.filter((arg) => !arg.startsWith('--'));
const ROUNDS = SMOKE ? 1 : Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = SMOKE ? 1 : Number(process.env.BENCH_SECONDS ?? 4);
const PLAN: Plan = SMOKE
  ? {
      warmSeconds: 0,
      leadSeconds: 0,
      idleSeconds: 1,
      scriptSeconds: 1,
      fresh: { starts: 1, amount: 64, minuteSeconds: 0, warm: { amount: 64 }, settle: { amount: 64 } },
    }
  : {
      warmSeconds: 8,
      leadSeconds: 2,
      idleSeconds: 20,
      scriptSeconds: 5,
      fresh: { starts: 3, amount: 500, minuteSeconds: 60, warm: { seconds: 8 }, settle: { seconds: 1 } },
    };
/** What follows from calls is done by then. */
const SETTLE_MS = 5_000;
const wholes: { section: string; script: string; workloads: readonly Workload[] }[] = [
  { section: 'speed', script: 'bench', workloads: TABLE },
  { section: 'shapes', script: 'bench -- shapes', workloads: SHAPES },
];

/** What this run measures, and the section that it writes. */
function ordered(): { workloads: readonly Workload[]; table: boolean; whole?: (typeof wholes)[number] } {
  if (SMOKE) return { workloads: [ONE, MANY, MORE, FEW_STREAMS], table: true };
  const [first = 'speed'] = names;
  const whole = names.length <= 1 ? wholes.find(({ section }) => section === first) : undefined;
  if (whole) return { workloads: whole.workloads, table: whole.section === 'speed', whole };
  const all = [...TABLE, ...SHAPES];
  const unknown = names.filter((name) => !all.some((workload) => workload.name === name));
  if (unknown.length > 0)
    throw new Error(
      `there is no workload '${unknown.join(`', '`)}'. There are 'speed', 'shapes', '${all.map(({ name }) => name).join(`', '`)}'`,
    );
  return { workloads: all.filter(({ name }) => names.includes(name)), table: false };
}

/**
 * As many calls as take so long, where their rate is known. A load that ends by the clock cuts off what is on its way,
 * which costs CPU and is not counted.
 */
function extentOf({ kind, atOnce }: Workload, seconds: number, perSecond: number | undefined): Extent {
  if (kind === 'streams') return { seconds };
  if (SMOKE) return { amount: 2 * atOnce };
  return perSecond === undefined ? { seconds } : { amount: Math.max(2 * atOnce, Math.round(seconds * perSecond)) };
}

async function rounds(candidates: readonly Candidate[], workload: Workload, results: Results): Promise<void> {
  const taking = candidates.filter((candidate) => candidate.takes(workload));
  const rates = new Map<Candidate, number>();
  // The first round after something else is not like the later ones, so that it does not count.
  for (let round = SMOKE ? 1 : 0; round <= ROUNDS; round++) {
    // Each candidate is first, second, … as often as the others.
    for (let n = 0; n < taking.length; n++) {
      const candidate = taking[(round + n) % taking.length]!;
      const rate = rates.get(candidate);
      if (PLAN.leadSeconds > 0) {
        await loaded(candidate, workload, extentOf(workload, PLAN.leadSeconds, rate));
        if (candidate.redis) await whenDrained(candidate.redis);
      }
      const extent = extentOf(workload, SECONDS, rate);
      const measured = await measure(candidate, workload, extent, SECONDS * 500);
      rates.set(candidate, measured.perSecond);
      if (round > 0) results.add(workload.name, candidate.name, measured);
    }
  }
  for (const { name } of taking) {
    const of = (pick: Parameters<Results['of']>[2]): number => results.of(workload.name, name, pick);
    const rate = of(({ perSecond }) => perSecond).toFixed(0);
    const [p50, p99, cpu] = [of(({ p50Ms }) => p50Ms), of(({ p99Ms }) => p99Ms), of((measured) => sum(measured.cpu))];
    process.stdout.write(
      `${workload.name.padEnd(26)} ${name.padEnd(20)} ${rate.padStart(6)}/s  p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${cpu.toFixed(2)} CPU-ms a call\n`,
    );
  }
}

async function scriptsAt({ redis, ...candidate }: Candidate, workload: Workload, results: Results) {
  const rate = results.of(workload.name, candidate.name, ({ perSecond }) => perSecond);
  await loaded(candidate, workload, extentOf(workload, 1, rate));
  return scriptTimes(redis!, async () => {
    const { done } = await loaded(candidate, workload, extentOf(workload, PLAN.scriptSeconds, rate));
    await whenDrained(redis!);
    return done;
  });
}

const ends: (() => Promise<void>)[] = [];

async function run(): Promise<void> {
  const { workloads, table, whole } = ordered();
  const peers = process.env.BENCH_PEERS ? readPeers(process.env.BENCH_PEERS) : [];
  const upstream = await startUpstream(Number(process.env.BENCH_UPSTREAM_PORT ?? 0));
  const host = await startHost(upstream);
  ends.push(host.end);
  const candidates = [...host.candidates, ...(await startOthers(upstream, peers))];
  const judged = candidates.find(({ name }) => name === JUDGED)!;
  if (PLAN.warmSeconds > 0) {
    for (const candidate of candidates.filter((one) => one.takes(MANY)))
      await loaded(candidate, MANY, { seconds: PLAN.warmSeconds });
  }
  const results = new Results();
  for (const workload of workloads) {
    await setUpstream(upstream, { latencyMs: workload.latencyMs, chunks: 100, gapMs: 10 });
    await rounds(candidates, workload, results);
  }
  const section = new BenchSection(whole?.section ?? '', whole?.script);
  section.text(`Medians of ${ROUNDS} rounds of ${SECONDS} s.`);
  if (table) {
    await setUpstream(upstream, { latencyMs: 0, chunks: 100, gapMs: 10 });
    const scripts = { many: await scriptsAt(judged, MANY, results), one: await scriptsAt(judged, ONE, results) };
    await sleep(SMOKE ? 0 : SETTLE_MS);
    const atRest = await idle(judged, PLAN.idleSeconds);
    await host.end();
    const fresh = await freshFigures(upstream, PLAN.fresh);
    section.text(speedTable({ results, idle: atRest, fresh, scripts }));
    section.text(callTables(results));
    section.text(processTable(results));
    section.text(scriptTable(scripts));
  } else section.text(callTables(results));
  process.stdout.write(`\n${section.markdown()}\n`);
  if (!whole) return;
  mkdirSync(join(import.meta.dirname, 'results'), { recursive: true });
  writeFileSync(join(import.meta.dirname, 'results', `${whole.section}.svg`), bars(results));
  section.publish();
}

try {
  await run();
} catch (error) {
  process.stderr.write(`${(error as Error).stack}\n`);
  process.exitCode = 1;
} finally {
  for (const end of ends) await end();
  await endAll();
}
