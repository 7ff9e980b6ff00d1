import { setTimeout as sleep } from 'node:timers/promises';
import { askedOf, whenDrained } from './books.ts';
import type { CallsOrder, CallsResult } from './calls.ts';
import type { Candidate } from './candidates.ts';
import { load } from './harness.ts';
import { cpuOf, memoryOf } from './processes.ts';
import type { Measured } from './results.ts';
import type { StreamsResult } from './streams.ts';
import type { Workload } from './workloads.ts';

/** So long, or so many calls. */
export type Extent = { seconds: number } | { amount: number };

interface Loaded {
  done: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
  gapP99Ms: number;
}

/** @throws when a call failed: figures with failed calls in them say nothing */
export async function loaded(candidate: Candidate, workload: Workload, extent: Extent): Promise<Loaded> {
  const { url, headers } = candidate;
  const bodies = candidate.bodiesFor(workload);
  const order: CallsOrder = {
    url,
    headers: { 'content-type': 'application/json', ...headers },
    tokens: bodies.map(() => candidate.tokenFor(workload)),
    body: '',
    bodies,
    atOnce: workload.atOnce,
    seconds: 0,
    ...extent,
  };
  const { failed, ...figures } =
    workload.kind === 'calls'
      ? await load<CallsResult>('calls.ts', order).then(({ answered, ...result }) => ({
          ...result,
          done: answered,
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
  if (failed > 0 || figures.done === 0)
    throw new Error(
      `${workload.name}, ${candidate.name}: ${failed} calls failed, ${figures.done} were answered. Nothing is reported.`,
    );
  return figures;
}

/**
 * A load with all that follows from it: CPU is counted until the books are drained. Memory is looked at after
 * `lookAfterMs`, while the candidate works, or at the end of a shorter load.
 */
export async function measure(
  candidate: Candidate,
  workload: Workload,
  extent: Extent,
  lookAfterMs = 0,
): Promise<Measured> {
  const { redis, processes } = candidate;
  const look = async () => ({
    cpu: processes ? cpuOf(processes.names, processes.root) : {},
    asked: redis ? await askedOf(redis) : { scripts: 0, commands: 0 },
  });
  const memoryNow = (): Record<string, number> => (processes ? memoryOf(processes.names, processes.root) : {});
  const before = await look();
  let memory: Record<string, number> | undefined;
  const atHalf = setTimeout(() => (memory = memoryNow()), lookAfterMs);
  const { done, seconds, ...times } = await loaded(candidate, workload, extent);
  clearTimeout(atHalf);
  memory ??= memoryNow();
  if (redis) await whenDrained(redis);
  const after = await look();
  return {
    ...times,
    done,
    perSecond: done / seconds,
    cpu: Object.fromEntries(
      Object.entries(after.cpu).map(([name, cpu]) => [name, (1_000 * (cpu - before.cpu[name]!)) / done]),
    ),
    memory,
    scripts: (after.asked.scripts - before.asked.scripts) / done,
    commands: (after.asked.commands - before.asked.commands) / done,
  };
}

/** CPU-ms a second while nobody calls, by process. */
export async function idle({ processes }: Candidate, seconds: number): Promise<Record<string, number>> {
  const { names, root } = processes!;
  const before = cpuOf(names, root);
  await sleep(1_000 * seconds);
  return Object.fromEntries(
    Object.entries(cpuOf(names, root)).map(([name, cpu]) => [name, (1_000 * (cpu - before[name]!)) / seconds]),
  );
}
