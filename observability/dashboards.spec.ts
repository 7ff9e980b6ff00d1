import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { DASHBOARDS, grafanaDashboard, queryOf } from './dashboards.js';

const root = process.cwd();
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');

describe('the dashboards', () => {
  it.each(DASHBOARDS.map((dashboard) => [dashboard.uid, dashboard] as const))('%s is what Grafana is given (npm run dashboards)', (uid, dashboard) => {
    expect(JSON.parse(read('observability', 'grafana', 'dashboards', `${uid}.json`))).toEqual(grafanaDashboard(dashboard));
  });

  it('are all that Grafana is given', () => {
    expect(readdirSync(join(root, 'observability', 'grafana', 'dashboards')).toSorted()).toEqual(DASHBOARDS.map(({ uid }) => `${uid}.json`).toSorted());
  });

  it('have a unit and a description at every panel, and no two panels of one name', () => {
    for (const { panels } of DASHBOARDS) {
      expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
      for (const panel of panels) {
        expect(panel.unit).toBeTruthy();
        expect(panel.description).toMatch(/^[A-Z].*\.$/);
        expect(panel.targets.length).toBeGreaterThan(0);
      }
    }
  });

  it('overlap nowhere, and keep within the grid', () => {
    for (const dashboard of DASHBOARDS) {
      const { panels } = grafanaDashboard(dashboard) as { panels: { gridPos: { x: number; y: number; w: number; h: number } }[] };
      const taken = new Set<string>();
      for (const { x, y, w, h } of panels.map(({ gridPos }) => gridPos)) {
        expect(x + w).toBeLessThanOrEqual(24);
        for (let column = x; column < x + w; column++)
          for (let row = y; row < y + h; row++) {
            expect(taken.has(`${column} ${row}`)).toBe(false);
            taken.add(`${column} ${row}`);
          }
      }
    }
  });

  it('can be looked at by campaign and by lane', () => {
    const queries = DASHBOARDS.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets));
    expect(queries.some(({ expr }) => expr.includes('campaign=~"$campaign"'))).toBe(true);
    expect(queries.some(({ expr }) => expr.includes('lane=~"$lane"'))).toBe(true);
    for (const target of queries) expect(queryOf(target, '5s')).not.toContain('$');
  });
});

describe('what is watched', () => {
  /** The table of docs/metrics.md; a test with all services compares it with what they tell. */
  const documented = new Set([...read('docs', 'metrics.md').matchAll(/^\| `(daypass_\w+)`/gm)].map(([, name]) => name!));
  const names = (text: string): string[] => [...new Set(text.match(/\bdaypass_\w+/g))].map((name) => name.replace(/_(bucket|count|sum)$/, ''));

  it.each([
    ['dashboards', JSON.stringify(DASHBOARDS)],
    ['alerts', read('observability', 'alerts.yml')],
  ])('the %s ask for metrics that there are', (_, text) => {
    expect(names(text).filter((name) => !documented.has(name))).toEqual([]);
  });

  it('every alert has a case that fires and a paragraph in the runbook', () => {
    const alerts = [...read('observability', 'alerts.yml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
    const fired = new Set([...read('observability', 'alerts.test.yml').matchAll(/alertname: (\w+)\n +exp_alerts:\n/g)].map(([, name]) => name));
    const told = new Set([...read('docs', 'runbook.md').matchAll(/^### (\w+)$/gm)].map(([, name]) => name));
    expect(alerts.length).toBeGreaterThan(10);
    expect({ withoutCase: alerts.filter((name) => !fired.has(name)), withoutParagraph: alerts.filter((name) => !told.has(name)) }).toEqual({
      withoutCase: [],
      withoutParagraph: [],
    });
    expect([...told].filter((name) => !alerts.includes(name!))).toEqual([]);
  });
});
