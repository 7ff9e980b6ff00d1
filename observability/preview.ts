import type { Dashboard, Panel } from './dashboards.js';

/** The result of a query: its legend, and its values by second. */
export interface Line {
  legend: string;
  points: [seconds: number, value: number][];
}

const COLUMNS = 3;
const [WIDTH, HEIGHT, GAP, TOP] = [400, 200, 12, 56];
const PLOT = { left: 52, right: 10, top: 34, bottom: 46 };
const COLOURS = ['#3274d9', '#56a64b', '#e0b400', '#e02f44', '#8f3bb8', '#ff780a', '#37872d', '#1f60c4'];
const LEGENDS_MAX = 6;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Draws a dashboard for a reader without Grafana: each panel's queries over the time of a load. */
export function previewOf(dashboard: Dashboard, lines: readonly (readonly Line[])[]): string {
  const rows = Math.ceil(dashboard.panels.length / COLUMNS);
  const [width, height] = [COLUMNS * (WIDTH + GAP) + GAP, TOP + rows * (HEIGHT + GAP)];
  const panels = dashboard.panels.map((panel, index) => {
    const [x, y] = [GAP + (index % COLUMNS) * (WIDTH + GAP), TOP + Math.floor(index / COLUMNS) * (HEIGHT + GAP)];
    return `<g transform="translate(${x} ${y})">${panelOf(panel, lines[index]!)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif">`,
    `<rect width="100%" height="100%" fill="#f4f5f5"/>`,
    `<text x="${GAP}" y="26" font-size="18" font-weight="600" fill="#24292e">${escaped(dashboard.title)}</text>`,
    `<text x="${GAP}" y="45" font-size="12" fill="#555">${escaped(dashboard.description)}</text>`,
    ...panels,
    '</svg>\n',
  ].join('\n');
}

function panelOf(panel: Panel, lines: readonly Line[]): string {
  const points = lines.flatMap((line) => line.points);
  const [from, to] = [Math.min(...points.map(([seconds]) => seconds)), Math.max(...points.map(([seconds]) => seconds))];
  const most = Math.max(...points.map(([, value]) => value), 0);
  const least = Math.min(...points.map(([, value]) => value), 0);
  const span = most - least || 1;
  const x = (seconds: number): number =>
    PLOT.left + ((seconds - from) / (to - from || 1)) * (WIDTH - PLOT.left - PLOT.right);
  const y = (value: number): number =>
    HEIGHT - PLOT.bottom - ((value - least) / span) * (HEIGHT - PLOT.top - PLOT.bottom);
  const ticks = [least, least + span / 2, least + span].map(
    (value) =>
      `<line x1="${PLOT.left}" x2="${WIDTH - PLOT.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#e4e7eb"/>` +
      `<text x="${PLOT.left - 5}" y="${(y(value) + 3).toFixed(1)}" font-size="9" text-anchor="end" fill="#666">${shown(value, panel.unit)}</text>`,
  );
  const drawn = lines.map(({ points: own }, index) => {
    const path = own.map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${COLOURS[index % COLOURS.length]}" stroke-width="1.5"/>`;
  });
  const legends = lines.slice(0, LEGENDS_MAX).map(({ legend, points: own }, index) => {
    const [column, row] = [index % 2, Math.floor(index / 2)];
    const text = `${legend}: ${shown(own.at(-1)?.[1] ?? 0, panel.unit)}`;
    const corner = { x: PLOT.left + column * 175, y: HEIGHT - PLOT.bottom + 14 + row * 11 };
    return `<text x="${corner.x}" y="${corner.y}" font-size="9" fill="${COLOURS[index % COLOURS.length]}">${escaped(text.length > 38 ? `${text.slice(0, 37)}…` : text)}</text>`;
  });
  return [
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="3" fill="#fff" stroke="#d8dbe0"/>`,
    `<text x="10" y="19" font-size="12" font-weight="600" fill="#24292e">${escaped(panel.title)}</text>`,
    ...ticks,
    ...drawn,
    ...legends,
  ].join('');
}

function shown(value: number, unit: Panel['unit']): string {
  const round = (number: number): string =>
    Math.abs(number) >= 100 ? number.toFixed(0) : Number(number.toPrecision(3)).toString();
  switch (unit) {
    case 'currencyUSD':
      return `$${value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : round(value)}`;
    case 'percentunit':
      return `${round(value * 100)} %`;
    case 'bytes':
      return `${round(value / 1e6)} MB`;
    case 's':
      return value < 1 ? `${round(value * 1_000)} ms` : `${round(value)} s`;
    case 'reqps':
    case 'cps':
      return `${round(value)}/s`;
    case 'bool_yes_no':
      return value ? 'yes' : 'no';
    case 'short':
      return round(value);
  }
}
