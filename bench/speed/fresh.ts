// What the first calls after a start cost, beside warm ones. Each start has empty stores.
import { startHost } from './candidates.ts';
import { loaded, measure, type Extent } from './measure.ts';
import { cpuACall, JUDGED, median, type Measured } from './results.ts';
import { MANY, ONE, type Workload } from './workloads.ts';

export interface FreshPlan {
  starts: number;
  /** The first calls. */
  amount: number;
  minuteSeconds: number;
  /** Of 64 at a time. */
  warm: Extent;
  /** At the pace of the first calls, after that. */
  settle: Extent;
}

/** CPU-ms a call, and how many times those of warm calls that is. */
export interface Fresh {
  cpuMs: number;
  times: number;
}

export interface FreshFigures {
  firstOfMany: Fresh;
  firstOfOne: Fresh;
  minuteOfOne: Fresh;
}

interface Start {
  first: Measured;
  minute: { cpuMs: number };
  warm: Measured;
}

export async function freshFigures(upstream: string, plan: FreshPlan): Promise<FreshFigures> {
  const many: Start[] = [];
  const one: Start[] = [];
  for (let start = 0; start < plan.starts; start++) {
    many.push(await afterStart(upstream, MANY, plan, 0));
    one.push(await afterStart(upstream, ONE, plan, plan.minuteSeconds));
  }
  return {
    firstOfMany: figureOf(many, ({ first }) => cpuACall(first)),
    firstOfOne: figureOf(one, ({ first }) => cpuACall(first)),
    minuteOfOne: figureOf(one, ({ minute }) => minute.cpuMs),
  };
}

const figureOf = (starts: readonly Start[], cpuMs: (start: Start) => number): Fresh => ({
  cpuMs: median(starts.map(cpuMs)),
  times: median(starts.map((start) => cpuMs(start) / cpuACall(start.warm))),
});

async function afterStart(upstream: string, workload: Workload, plan: FreshPlan, untilSecond: number): Promise<Start> {
  const { candidates, end } = await startHost(upstream);
  const begunMs = performance.now();
  try {
    const judged = candidates.find(({ name }) => name === JUDGED)!;
    const of = (extent: Extent): Promise<Measured> => measure(judged, workload, extent);
    const first = await of({ amount: plan.amount });
    const parts = [first];
    const left = untilSecond - (performance.now() - begunMs) / 1_000;
    if (left >= 1) parts.push(await of({ seconds: left }));
    const calls = parts.reduce((sum, { done }) => sum + done, 0);
    const cpuMs = parts.reduce((sum, part) => sum + cpuACall(part) * part.done, 0) / calls;
    await loaded(judged, MANY, plan.warm);
    // The first ones at another pace are not like the later ones.
    await loaded(judged, workload, plan.settle);
    return { first, minute: { cpuMs }, warm: await of({ amount: plan.amount }) };
  } finally {
    await end();
  }
}
