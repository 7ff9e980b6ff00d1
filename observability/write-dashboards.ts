// `npm run dashboards`: writes the dashboards that Grafana provisions out of dashboards.ts, and the alerts of
// Kubernetes out of alerts.yml.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { DASHBOARDS, grafanaDashboard } from './dashboards.ts';

const folder = join(import.meta.dirname, 'grafana', 'dashboards');
for (const dashboard of DASHBOARDS)
  writeFileSync(join(folder, `${dashboard.uid}.json`), `${JSON.stringify(grafanaDashboard(dashboard), null, 2)}\n`);

const { groups } = parse(readFileSync(join(import.meta.dirname, 'alerts.yml'), 'utf8')) as { groups: object[] };
const rule = {
  apiVersion: 'monitoring.coreos.com/v1',
  kind: 'PrometheusRule',
  metadata: { name: 'daypass' },
  spec: { groups },
};
const head = '# Written by `npm run dashboards` out of observability/alerts.yml.\n';
writeFileSync(
  join(import.meta.dirname, '..', 'k8s', 'overlays', 'production', 'alerts.yaml'),
  `${head}${stringify(rule, { lineWidth: 0 })}`,
);
