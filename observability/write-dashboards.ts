// `npm run dashboards`: writes the dashboards that Grafana provisions out of dashboards.ts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DASHBOARDS, grafanaDashboard } from './dashboards.ts';

const folder = join(import.meta.dirname, 'grafana', 'dashboards');
for (const dashboard of DASHBOARDS) writeFileSync(join(folder, `${dashboard.uid}.json`), `${JSON.stringify(grafanaDashboard(dashboard), null, 2)}\n`);
