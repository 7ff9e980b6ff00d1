// `npm start`: prepares what is missing, then hands over to the launcher under the right Node.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Interrupted, Obstacle } from './child.mjs';
import { prepare, root, SAME_KEYSTROKE_MS } from './prepare.mjs';

const PARENT_POLL_MS = 500;
let node;
try {
  node = await prepare();
} catch (error) {
  if (!(error instanceof Obstacle)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(error instanceof Interrupted ? 130 : 1);
}

// It has its own session: one Ctrl-C arrives from the terminal and again from npm, and the launcher must get it once.
const launcher = spawn(node, ['--enable-source-maps', join(root, 'dist/libs/launch/launch.js')], {
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  detached: true,
  env: { ...process.env, DAYPASS_STARTED_AT_MS: String(Math.round(Date.now() - process.uptime() * 1000)) },
});
let lastSignalAt = 0;
function stop(signal) {
  if (Date.now() - lastSignalAt < SAME_KEYSTROKE_MS) return;
  lastSignalAt = Date.now();
  launcher.kill(signal);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(signal));
launcher.on('exit', (code, signal) => process.exit(signal ? 1 : code));

// When somebody kills npm itself, nobody passes the signal on. An adopted process then ends by itself.
if (process.env.npm_lifecycle_event) {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    stop('SIGTERM');
  }, PARENT_POLL_MS);
}
