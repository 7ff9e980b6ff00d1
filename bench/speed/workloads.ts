export interface Workload {
  name: string;
  kind: 'calls' | 'streams';
  /** Calls at a time, or open streams. */
  atOnce: number;
  /** Sizes of prompts, in turns. */
  promptBytes: readonly number[];
  latencyMs: number;
}

/** Short questions and longer ones. */
const MIXED_BYTES = [85, 200, 400, 700, 1_000];

export const calls = (atOnce: number, promptBytes?: number, latencyMs = 0): Workload => ({
  name: `${atOnce} at a time${promptBytes === undefined ? '' : `, ${promptBytes / 1_000} kB`}${latencyMs > 0 ? `, ${latencyMs} ms` : ''}`,
  kind: 'calls',
  atOnce,
  promptBytes: promptBytes === undefined ? MIXED_BYTES : [promptBytes],
  latencyMs,
});

const streams = (atOnce: number): Workload => ({
  name: `${atOnce} streams`,
  kind: 'streams',
  atOnce,
  promptBytes: [1_000],
  latencyMs: 0,
});

export const [ONE, MANY, MORE] = [calls(1), calls(64), calls(256)];
export const FEW_STREAMS = streams(50);
/** The speed table. */
export const TABLE = [ONE, MANY, MORE];
/** Other shapes of calls: larger ones, slower ones, streams. */
export const SHAPES = [
  calls(16),
  calls(16, 20_000),
  calls(16, 200_000),
  calls(64, undefined, 300),
  calls(256, undefined, 300),
  ...[100, 500, 1_000].map(streams),
];
