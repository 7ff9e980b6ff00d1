// `npm test`: the same set-up as `npm start`, a browser and a Prometheus, then everything that `npm run check` checks.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Interrupted, Obstacle } from './child.mjs';
import { prepare, root } from './prepare.mjs';

try {
  const node = await prepare({ forTests: true });
  const { status } = spawnSync(node, [join(root, 'scripts/check.mjs'), '--built'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.exitCode = status ?? 1;
} catch (error) {
  if (!(error instanceof Obstacle)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error instanceof Interrupted ? 130 : 1;
}
