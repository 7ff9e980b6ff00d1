import { mkdirSync, writeFileSync } from 'node:fs';
import { BenchSection } from './bench-page.js';
import type { Counted } from './simulator.js';

export interface Row {
  scenario: string;
  used: string;
  upstream429: number;
  figures: string;
}

const SECOND = 1_000;
const rows: Row[] = [];
const plots: { title: string; limit: number; points: [seconds: number, tokens: number][] }[] = [];

export function tell(row: Row): void {
  rows.push(row);
  process.stdout.write(
    `${row.scenario.padEnd(18)} ${row.used.padEnd(10)} ${String(row.upstream429).padEnd(4)} ${row.figures}\n`,
  );
}

/** Draws the tokens that the upstream let through in each second, and the even rate of the limit. */
export function plot(title: string, log: readonly Counted[], tpm: number, startedMs: number): void {
  const points = new Map<number, number>();
  for (const { atMs, tokens, refused } of log) {
    if (refused) continue;
    const second = Math.floor((atMs - startedMs) / SECOND);
    points.set(second, (points.get(second) ?? 0) + tokens);
  }
  plots.push({ title, limit: tpm / 60, points: [...points] });
}

/** Draws `bench/results/pacing.svg`. `whole`: all scenarios ran, so that their table goes into bench/README.md. */
export function report(whole: boolean): void {
  if (whole) {
    const section = new BenchSection('pacing');
    const row = section.table('scenario', 'of the limit used', '429s of the upstream', '');
    for (const { scenario, used, upstream429, figures } of rows)
      row(`\`${scenario}\``, used, String(upstream429), figures);
    section.publish();
  }
  if (plots.length === 0) return;
  mkdirSync('bench/results', { recursive: true });
  const [width, height, gap] = [900, 180, 40];
  const panels = plots.map(({ title, limit, points }, index) => {
    const top = index * (height + gap) + gap;
    const lastSecond = Math.max(1, ...points.map(([second]) => second));
    const highest = Math.max(2 * limit, ...points.map(([, tokens]) => tokens));
    const x = (second: number): string => ((second / lastSecond) * width).toFixed(1);
    const y = (tokens: number): string => (top + height - (tokens / highest) * height).toFixed(1);
    const bars = points.map(
      ([second, tokens]) =>
        `<rect x="${x(second)}" y="${y(tokens)}" width="${(width / lastSecond).toFixed(2)}" height="${((tokens / highest) * height).toFixed(1)}" fill="#4c78a8"/>`,
    );
    return `<text x="0" y="${top - 8}">${title}: tokens sent each second, and the even rate of the limit</text>${bars.join('')}<line x1="0" x2="${width}" y1="${y(limit)}" y2="${y(limit)}" stroke="#e45756" stroke-width="2"/>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${plots.length * (height + gap) + gap}" font-family="sans-serif" font-size="14">${panels.join('')}</svg>\n`;
  writeFileSync('bench/results/pacing.svg', svg);
}
