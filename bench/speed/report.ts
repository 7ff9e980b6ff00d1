/** What is told of a workload and a candidate: medians. */
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

/** What the others are compared with. */
export const BESIDE = 'Portkey';
const sum = (amounts: Record<string, number>): number => Object.values(amounts).reduce((total, amount) => total + amount, 0);

/** As they stand in the README: calls, streams, and what a call takes. */
export function tables(results: Results): string {
  return [calls(results), streams(results), costs(results)].filter((text) => text !== '').join('\n');
}

function calls(results: Results): string {
  const rows = [...results].filter(([{ kind }]) => kind === 'calls');
  if (rows.length === 0) return '';
  const names = [...rows[0]![1].keys()];
  const lines = rows.map(([{ name }, figures]) => {
    const beside = figures.get(BESIDE)!;
    const cells = names.map((candidate) => {
      const { perSecond, p50Ms, p99Ms } = figures.get(candidate)!;
      const ratio = candidate === BESIDE ? '' : ` (${(perSecond / beside.perSecond).toFixed(2)} ×)`;
      return `${perSecond.toFixed(0)}${ratio}; ${p50Ms.toFixed(1)} / ${p99Ms.toFixed(1)}`;
    });
    return `| ${name} | ${cells.join(' | ')} |`;
  });
  return `Calls a second (beside ${BESIDE}); p50 / p99 in ms:\n\n| | ${names.join(' | ')} |\n|${' --- |'.repeat(names.length + 1)}\n${lines.join('\n')}\n`;
}

function streams(results: Results): string {
  const rows = [...results].filter(([{ kind }]) => kind === 'streams');
  if (rows.length === 0) return '';
  const names = [...rows[0]![1].keys()];
  const lines = rows.map(([{ name }, figures]) => {
    const cells = names.map((candidate) => {
      const { p50Ms, p99Ms, gapP99Ms, perSecond } = figures.get(candidate)!;
      return `${p50Ms.toFixed(0)} / ${p99Ms.toFixed(0)}; ${gapP99Ms.toFixed(0)}; ${perSecond.toFixed(0)}`;
    });
    return `| ${name} | ${cells.join(' | ')} |`;
  });
  return `First token p50 / p99 in ms; gap between chunks p99 in ms; streams ended a second:\n\n| | ${names.join(' | ')} |\n|${' --- |'.repeat(names.length + 1)}\n${lines.join('\n')}\n`;
}

function costs(results: Results): string {
  const lines = [...results].flatMap(([{ name }, figures]) =>
    [...figures]
      .filter(([, { cpu }]) => Object.keys(cpu).length > 0)
      .map(([candidate, { cpu, memory, redisScripts, redisCommands }]) => {
        const parts =
          Object.keys(cpu).length > 1
            ? ` (${Object.entries(cpu)
                .map(([part, seconds]) => `${part} ${seconds.toFixed(2)}`)
                .join(', ')})`
            : '';
        const ofRedis = 'redis' in cpu ? `${redisScripts.toFixed(1)} / ${redisCommands.toFixed(1)}` : '';
        const { redis = 0, postgres = 0, ...services } = memory;
        const stores = redis + postgres > 0 ? ` + ${(redis + postgres).toFixed(0)}` : '';
        return `| ${name} | ${candidate} | ${sum(cpu).toFixed(2)}${parts} | ${sum(services).toFixed(0)}${stores} | ${ofRedis} |`;
      }),
  );
  return `CPU seconds for 1,000 calls, memory in MB (services + stores), and Redis scripts / commands (theirs included) a call:\n\n| | | CPU | MB | Redis |\n| --- | --- | --- | --- | --- |\n${lines.join('\n')}\n`;
}

const COLOURS = ['#4c78a8', '#9ecae9', '#e45756', '#bab0ac', '#d8d8d8'];

/** Calls a second of each candidate, workload by workload; each workload by its own fastest but the upstream alone. */
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
