import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { DASHBOARDS, grafanaDashboard, queryOf } from './dashboards.js';

const root = process.cwd();
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');

describe('the dashboards', () => {
  it.each(DASHBOARDS.map((dashboard) => [dashboard.uid, dashboard] as const))(
    '%s is what Grafana is given (npm run dashboards)',
    (uid, dashboard) => {
      expect(JSON.parse(read('observability', 'grafana', 'dashboards', `${uid}.json`))).toEqual(
        grafanaDashboard(dashboard),
      );
    },
  );

  it('are all that Grafana is given', () => {
    expect(readdirSync(join(root, 'observability', 'grafana', 'dashboards')).toSorted()).toEqual(
      DASHBOARDS.map(({ uid }) => `${uid}.json`).toSorted(),
    );
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
      const { panels } = grafanaDashboard(dashboard) as {
        panels: { gridPos: { x: number; y: number; w: number; h: number } }[];
      };
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

  it('can be filtered by campaign and by lane', () => {
    const queries = DASHBOARDS.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets));
    expect(queries.some(({ expr }) => expr.includes('campaign=~"$campaign"'))).toBe(true);
    expect(queries.some(({ expr }) => expr.includes('lane=~"$lane"'))).toBe(true);
    for (const target of queries) expect(queryOf(target, '5s')).not.toContain('$');
  });
});

describe('what Grafana is provisioned with', () => {
  const yaml = (...path: string[]): unknown => parse(read(...path), { merge: true });
  const provisioning = (folder: string, file: string): unknown =>
    yaml('observability', 'grafana', 'provisioning', folder, file);
  const compose = yaml('docker-compose.yml') as {
    services: Record<string, { volumes: string[]; environment: Record<string, string>; ports: string[] }>;
  };
  const { grafana } = compose.services;

  it('is the Prometheus beside it, under the name that the dashboards ask for', () => {
    const { datasources } = provisioning('datasources', 'prometheus.yml') as {
      datasources: { uid: string; type: string; url: string }[];
    };
    expect(datasources).toEqual([expect.objectContaining({ uid: 'prometheus', type: 'prometheus' })]);
    expect(Object.keys(compose.services)).toContain(new URL(datasources[0]!.url).hostname);
    const uids = JSON.stringify(DASHBOARDS.map(grafanaDashboard)).match(/"uid":"prometheus"/g);
    expect(uids!.length).toBeGreaterThanOrEqual(DASHBOARDS.flatMap(({ panels }) => panels).length);
  });

  it('are dashboards where they are mounted, for everybody on this machine', () => {
    const { providers } = provisioning('dashboards', 'daypass.yml') as { providers: { options: { path: string } }[] };
    expect(grafana!.volumes).toContain(`./observability/grafana/dashboards:${providers[0]!.options.path}:ro`);
    expect(grafana!.volumes).toContain('./observability/grafana/provisioning:/etc/grafana/provisioning:ro');
    expect(grafana!.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH).toBe(
      `${providers[0]!.options.path}/${DASHBOARDS[0]!.uid}.json`,
    );
    expect(grafana!.environment).toMatchObject({
      GF_AUTH_ANONYMOUS_ENABLED: 'true',
      GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
    });
    expect(grafana!.ports.every((port) => port.startsWith('127.0.0.1:'))).toBe(true);
  });
});

describe('what is watched', () => {
  /** The table of docs/metrics.md. A test with all services compares it with their metrics. */
  const documented = new Set(
    [...read('docs', 'metrics.md').matchAll(/^\| `(daypass_\w+)`/gm)].map(([, name]) => name!),
  );
  const names = (text: string): string[] =>
    [...new Set(text.match(/\bdaypass_\w+/g))].map((name) => name.replace(/_(bucket|count|sum)$/, ''));

  it.each([
    ['dashboards', JSON.stringify(DASHBOARDS)],
    ['alerts', read('observability', 'alerts.yml')],
  ])('the %s ask for metrics that there are', (_, text) => {
    expect(names(text).filter((name) => !documented.has(name))).toEqual([]);
  });

  it('every alert has a case that fires and a paragraph in the runbook', () => {
    const alerts = [...read('observability', 'alerts.yml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
    const fired = new Set(
      [...read('observability', 'alerts.test.yml').matchAll(/alertname: (\w+)\n +exp_alerts:\n/g)].map(
        ([, name]) => name,
      ),
    );
    const documented = new Set([...read('docs', 'runbook.md').matchAll(/^### (\w+)$/gm)].map(([, name]) => name));
    expect(alerts.length).toBeGreaterThan(10);
    expect({
      withoutCase: alerts.filter((name) => !fired.has(name)),
      withoutParagraph: alerts.filter((name) => !documented.has(name)),
    }).toEqual({
      withoutCase: [],
      withoutParagraph: [],
    });
    expect([...documented].filter((name) => !alerts.includes(name!))).toEqual([]);
  });
});
