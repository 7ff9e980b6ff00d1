import { markdownTable } from '#libs/config/markdown-table.js';

/** Medians of one workload and one candidate. */
export interface Figures {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  gapP99Ms: number;
  cpu: Record<string, number>;
  memory: Record<string, number>;
  redisScripts: number;
  redisCommands: number;
}

type Results = ReadonlyMap<{ name: string; kind: 'calls' | 'streams' }, ReadonlyMap<string, Figures>>;

/** The bench compares all others with this one. */
export const BESIDE = 'Portkey';
const sum = (amounts: Record<string, number>): number =>
  Object.values(amounts).reduce((total, amount) => total + amount, 0);

/** As they stand in bench/README.md: calls, streams, and what a call costs. The upstream alone is no candidate, so it has no column. */
export function tables(results: Results): string {
  return [
    tableOf(
      results,
      'calls',
      `Calls a second (beside ${BESIDE}'s); p50 / p99 in ms:`,
      ({ perSecond, p50Ms, p99Ms }, beside) => {
        const ratio = beside ? ` (${(perSecond / beside.perSecond).toFixed(2)} ×)` : '';
        return `${perSecond.toFixed(0)}${ratio}; ${p50Ms.toFixed(1)} / ${p99Ms.toFixed(1)}`;
      },
    ),
    tableOf(
      results,
      'streams',
      'Streams that end in a second; p50 / p99 of the first token in ms; p99 of the gap between chunks in ms:',
      (figures) => {
        const { perSecond, p50Ms, p99Ms, gapP99Ms } = figures;
        return `${perSecond.toFixed(0)}; ${p50Ms.toFixed(0)} / ${p99Ms.toFixed(0)}; ${gapP99Ms.toFixed(0)}`;
      },
    ),
    tableOf(
      results,
      undefined,
      'CPU seconds for 1,000 calls, stores included; memory of its processes in MB, stores not included:',
      ({ cpu, memory }) => {
        const { redis: _redis, postgres: _postgres, ...own } = memory;
        return `${sum(cpu).toFixed(2)}; ${sum(own).toFixed(0)}`;
      },
    ),
  ]
    .filter((text) => text !== '')
    .join('\n\n');
}

/** `beside`: the figures of the one that the others are compared with; undefined for its own. */
type Cell = (figures: Figures, beside: Figures | undefined) => string;

function tableOf(results: Results, kind: 'calls' | 'streams' | undefined, head: string, cell: Cell): string {
  const rows = [...results].filter(([workload]) => kind === undefined || workload.kind === kind);
  if (rows.length === 0) return '';
  const names = [...rows[0]![1]].filter(([, { cpu }]) => Object.keys(cpu).length > 0).map(([name]) => name);
  const lines = rows.map(([{ name }, figures]) => [
    name,
    ...names.map((candidate) => cell(figures.get(candidate)!, candidate === BESIDE ? undefined : figures.get(BESIDE))),
  ]);
  return `${head}\n\n${markdownTable(['', ...names], lines)}`;
}

/** Where the CPU seconds of a call go, and what it asks of Redis. */
export function details(results: Results): string {
  const lines = [...results].flatMap(([{ name }, figures]) =>
    [...figures].flatMap(([candidate, { cpu, redisScripts, redisCommands }]) => {
      if (!('redis' in cpu)) return [];
      const parts = Object.entries(cpu).map(([part, seconds]) => `${part} ${seconds.toFixed(2)}`);
      return [
        `${name}, ${candidate}: ${parts.join(', ')}; Redis scripts / commands a call: ${redisScripts.toFixed(1)} / ${redisCommands.toFixed(1)}`,
      ];
    }),
  );
  return `${lines.join('\n')}\n`;
}

const COLOURS = ['#4c78a8', '#9ecae9', '#e45756', '#bab0ac', '#d8d8d8'];

/** Draws the calls a second of each candidate. In each workload the fastest candidate has the longest bar. */
export function bars(results: Results): string {
  const rows = [...results].filter(([{ kind }]) => kind === 'calls');
  const names = rows.length > 0 ? [...rows[0]![1].keys()] : [];
  const [left, width, bar, gap] = [190, 520, 14, 16];
  const height = rows.length * (names.length * bar + gap) + 60;
  const legend = names.map(
    (name, index) =>
      `<rect x="${10 + 145 * index}" y="10" width="12" height="12" fill="${COLOURS[index]}"/><text x="${26 + 145 * index}" y="21">${name}</text>`,
  );
  const panels = rows.map(([{ name }, figures], index) => {
    const top = 50 + index * (names.length * bar + gap);
    const most = Math.max(...names.map((candidate) => figures.get(candidate)!.perSecond));
    const lines = names.map((candidate, at) => {
      const { perSecond } = figures.get(candidate)!;
      const length = (width * perSecond) / most;
      const y = top + at * bar;
      return `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${bar - 2}" fill="${COLOURS[at]}"/><text x="${(left + length + 4).toFixed(1)}" y="${y + 10}" font-size="11">${perSecond.toFixed(0)}</text>`;
    });
    return `<text x="10" y="${top + 12}">${name}</text>${lines.join('')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 60}" height="${height}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>${legend.join('')}${panels.join('')}</svg>\n`;
}
