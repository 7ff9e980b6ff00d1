import { markdownTable } from '#libs/config/markdown-table.js';
import type { FreshFigures } from './fresh.ts';
import {
  BARE,
  BESIDE,
  cpuACall,
  JUDGED,
  RESPONSES,
  sum,
  UNJUDGED,
  UPSTREAM,
  type Measured,
  type Results,
} from './results.ts';
import type { ScriptTime } from './script-times.ts';
import { MANY, MORE, ONE } from './workloads.ts';

export interface Report {
  results: Results;
  /** CPU-ms a second, by process. */
  idle: Record<string, number>;
  fresh: FreshFigures;
  scripts: { many: readonly ScriptTime[]; one: readonly ScriptTime[] };
}

const OURS = [JUDGED, UNJUDGED, RESPONSES];
const SERVICES = ['ingress', 'moderation', 'forwarding', 'accounting'];
/** Other scripts are summed up. */
const SCRIPTS_SHOWN_MICROS = 1;
const SCRIPTS_SHOWN_MAX = 20;

const perSecond = (measured: Measured): number => measured.perSecond;
const p50 = (measured: Measured): number => measured.p50Ms;
const times = (ratio: number): string => `${ratio.toFixed(2)} ×`;
const count = (calls: number): string => calls.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ',');

/** What the speed of Daypass is judged by. */
export function speedTable({ results, idle, fresh }: Report): string {
  const beside = (workload: string, candidate: string): string[] => [
    `${candidate}, ${workload}: calls a second beside ${BESIDE}'s`,
    `${times(results.ratio(workload, candidate, BESIDE, perSecond))} (${count(results.of(workload, candidate, perSecond))} / ${count(results.of(workload, BESIDE, perSecond))})`,
  ];
  const cpu = (workload: string, candidate: string): string[] => [
    `${candidate}, ${workload}: CPU-ms a call beside ${BESIDE}'s`,
    `${times(results.ratio(workload, candidate, BESIDE, cpuACall))} (${results.of(workload, candidate, cpuACall).toFixed(2)} / ${results.of(workload, BESIDE, cpuACall).toFixed(2)})`,
  ];
  const added = (candidate: string): string[] => [
    `${candidate}, ${ONE.name}: p50 added to the upstream's`,
    `${results.more(ONE.name, candidate, UPSTREAM, p50).toFixed(1)} ms (${BESIDE} ${results.more(ONE.name, BESIDE, UPSTREAM, p50).toFixed(1)} ms)`,
  ];
  const both = (of: (workload: string) => string): string => `${of(MANY.name)} / ${of(ONE.name)}`;
  const memory = results.byProcess(MANY.name, JUDGED, (measured) => measured.memory);
  const first = ({ cpuMs, times: ratio }: FreshFigures['firstOfMany']): string =>
    `${times(ratio)} (${cpuMs.toFixed(2)})`;
  return markdownTable(
    ['', 'measured'],
    [
      beside(MANY.name, JUDGED),
      beside(MORE.name, JUDGED),
      beside(MANY.name, UNJUDGED),
      beside(MORE.name, UNJUDGED),
      cpu(MANY.name, JUDGED),
      cpu(MANY.name, UNJUDGED),
      added(JUDGED),
      added(UNJUDGED),
      [
        `${JUDGED}: scripts a call, 64 / 1 at a time`,
        both((workload) => results.of(workload, JUDGED, ({ scripts }) => scripts).toFixed(1)),
      ],
      [
        `${JUDGED}: CPU-ms of Redis a call, 64 / 1 at a time`,
        both((workload) => results.of(workload, JUDGED, ({ cpu: by }) => by.redis!).toFixed(2)),
      ],
      [
        `${JUDGED}: memory of the four services, ${MANY.name}`,
        `${SERVICES.reduce((total, name) => total + memory[name]!, 0).toFixed(0)} MB`,
      ],
      ['CPU a call beside warm, first 500 calls after a start, 64 at a time', first(fresh.firstOfMany)],
      ['CPU a call beside warm, first 500 calls after a start, 1 at a time', first(fresh.firstOfOne)],
      ['CPU a call beside warm, first minute after a start, 1 at a time', first(fresh.minuteOfOne)],
      [
        'CPU-ms a second while nobody calls',
        `${sum(idle).toFixed(1)} (${Object.entries(idle)
          .map(([name, cpuMs]) => `${name} ${cpuMs.toFixed(1)}`)
          .join(', ')})`,
      ],
      [
        `${RESPONSES} beside chat, ${MANY.name}: CPU a call; calls a second`,
        `${times(results.ratio(MANY.name, RESPONSES, JUDGED, cpuACall))}; ${times(results.ratio(MANY.name, RESPONSES, JUDGED, perSecond))}`,
      ],
    ],
  );
}

/** Calls a second, times, and CPU of every candidate. */
export function callTables(results: Results): string {
  return [
    tableOf(
      results,
      'calls',
      `Calls a second (beside ${BESIDE}'s); p50 / p99 in ms:`,
      (of) => `${count(of(perSecond))}`,
      (of) => `; ${of(p50).toFixed(1)} / ${of(({ p99Ms }) => p99Ms).toFixed(1)}`,
      perSecond,
    ),
    tableOf(
      results,
      'streams',
      `Streams that end in a second (beside ${BESIDE}'s); p50 / p99 of the first token in ms; p99 of the gap between chunks in ms:`,
      (of) => `${count(of(perSecond))}`,
      (of) =>
        `; ${of(p50).toFixed(0)} / ${of(({ p99Ms }) => p99Ms).toFixed(0)}; ${of(({ gapP99Ms }) => gapP99Ms).toFixed(0)}`,
      perSecond,
    ),
    tableOf(
      results,
      undefined,
      `CPU-ms a call, stores included (beside ${BESIDE}'s); memory of its processes in MB, stores not included:`,
      (of) => of(cpuACall).toFixed(2),
      (of) => `; ${of(({ memory: { redis: _redis, postgres: _postgres, ...own } }) => sum(own)).toFixed(0)}`,
      cpuACall,
    ),
  ]
    .filter((text) => text !== '')
    .join('\n\n');
}

type Of = (pick: (measured: Measured) => number) => number;

function tableOf(
  results: Results,
  kind: 'calls' | 'streams' | undefined,
  head: string,
  main: (of: Of) => string,
  rest: (of: Of) => string,
  compared: (measured: Measured) => number,
): string {
  const workloads = results
    .workloads()
    .filter((name) => kind === undefined || name.endsWith('streams') === (kind === 'streams'));
  const measured = new Set(workloads.flatMap((workload) => results.candidates(workload)));
  // Peers come last.
  const candidates = [...new Set([JUDGED, UNJUDGED, BESIDE, BARE, ...measured])].filter(
    (name) => measured.has(name) && name !== UPSTREAM && name !== RESPONSES,
  );
  if (workloads.length === 0) return '';
  const rows = workloads.map((workload) => [
    workload,
    ...candidates.map((candidate) => {
      const of: Of = (pick) => results.of(workload, candidate, pick);
      const ratio = candidate === BESIDE ? '' : ` (${times(results.ratio(workload, candidate, BESIDE, compared))})`;
      return `${main(of)}${ratio}${rest(of)}`;
    }),
  ]);
  return `${head}\n\n${markdownTable(['', ...candidates], rows)}`;
}

/** Where the CPU of a call goes, and what it asks of Redis. */
export function processTable(results: Results): string {
  const rows: string[][] = [];
  let names: string[] = [];
  for (const workload of results.workloads()) {
    for (const candidate of OURS.filter((name) => results.has(workload, name))) {
      const cpu = results.byProcess(workload, candidate, (measured) => measured.cpu);
      names = Object.keys(cpu);
      rows.push([
        `${candidate}, ${workload}`,
        ...Object.values(cpu).map((cpuMs) => cpuMs.toFixed(2)),
        results.of(workload, candidate, cpuACall).toFixed(2),
        results.of(workload, candidate, ({ scripts }) => scripts).toFixed(1),
        results.of(workload, candidate, ({ commands }) => commands).toFixed(0),
      ]);
    }
  }
  return `CPU-ms a call by process, and scripts and commands of Redis a call:\n\n${markdownTable(['', ...names, 'sum', 'scripts', 'commands'], rows)}`;
}

/** Which scripts Redis is busy with. */
export function scriptTable({ many, one }: Report['scripts']): string {
  const names = [...new Set([...many, ...one].map(({ name }) => name))];
  const find = (times_: readonly ScriptTime[], name: string): ScriptTime =>
    times_.find((script) => script.name === name) ?? { name, timesACall: 0, microsACall: 0 };
  const cells = (script: ScriptTime): string[] => [script.microsACall.toFixed(1), script.timesACall.toFixed(2)];
  const rows = names.map((name) => ({ name, many: find(many, name), one: find(one, name) }));
  const shown = rows
    .filter(({ many: at64, one: at1 }) => Math.max(at64.microsACall, at1.microsACall) >= SCRIPTS_SHOWN_MICROS)
    .slice(0, SCRIPTS_SHOWN_MAX);
  const total = (name: string, of: typeof rows): string[] => {
    const add = (pick: (row: (typeof rows)[number]) => ScriptTime): ScriptTime => ({
      name,
      timesACall: of.reduce((all, row) => all + pick(row).timesACall, 0),
      microsACall: of.reduce((all, row) => all + pick(row).microsACall, 0),
    });
    return [name, ...cells(add((row) => row.many)), ...cells(add((row) => row.one))];
  };
  return `Redis by script, ${JUDGED}: µs a call, and steps a call:\n\n${markdownTable(
    ['', `${MANY.name}, µs`, 'steps', `${ONE.name}, µs`, 'steps'],
    [
      ...shown.map(({ name, many: at64, one: at1 }) => [name, ...cells(at64), ...cells(at1)]),
      total(
        'others',
        rows.filter((row) => !shown.includes(row)),
      ),
      total('all', rows),
    ],
  )}`;
}

const COLOURS = ['#4c78a8', '#9ecae9', '#e45756', '#bab0ac', '#d8d8d8'];

/** Draws the calls a second of each candidate. In each workload the fastest candidate has the longest bar. */
export function bars(results: Results): string {
  const names = [JUDGED, UNJUDGED, BESIDE, BARE];
  const rows = results.workloads();
  const [left, width, bar, gap] = [190, 520, 14, 16];
  const height = rows.length * (names.length * bar + gap) + 60;
  const legend = names.map(
    (name, index) =>
      `<rect x="${10 + 145 * index}" y="10" width="12" height="12" fill="${COLOURS[index]}"/><text x="${26 + 145 * index}" y="21">${name}</text>`,
  );
  const panels = rows.map((workload, index) => {
    const top = 50 + index * (names.length * bar + gap);
    const rates = names.map((candidate) => results.of(workload, candidate, perSecond));
    const lines = rates.map((rate, at) => {
      const length = (width * rate) / Math.max(...rates);
      const y = top + at * bar;
      return `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${bar - 2}" fill="${COLOURS[at]}"/><text x="${(left + length + 4).toFixed(1)}" y="${y + 10}" font-size="11">${rate.toFixed(0)}</text>`;
    });
    return `<text x="10" y="${top + 12}">${workload}</text>${lines.join('')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 60}" height="${height}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>${legend.join('')}${panels.join('')}</svg>\n`;
}
