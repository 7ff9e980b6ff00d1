// `npm run check` runs everything: format, lint, types, build, tests. A failed step does not stop the others, so that
// one run shows all faults.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './prepare.mjs';

/** More than a machine of two cores has: most of the tests' time is waiting. */
const WORKERS = 3;
/** Several times what it takes. */
const JEST_MAX_MS = 40 * 60_000;
const bin = join(root, 'node_modules', '.bin');
const reports = mkdtempSync(join(tmpdir(), 'daypass-check-'));
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
// A test must never spend the developer's own key, nor write to the developer's stores.
for (const name of Object.keys(env))
  if (/^(OPENAI_|OTEL_|DAYPASS_(?!CHECK))|^(REDIS|DATABASE)_URL$/.test(name)) delete env[name];

const results = await Promise.all([
  step('format', ['prettier', '--check', '--log-level', 'warn', '.']),
  step('lint', ['oxlint', '--type-aware', '--tsconfig', 'tsconfig.json']),
  step('types', ['tsc', '--noEmit']),
  step('types of the pages', ['tsc', '--noEmit', '--project', 'web/tsconfig.json']),
  // `npm test` has built already. Building again would only cost time.
  ...(process.argv.includes('--built')
    ? []
    : [step('build', ['nest', 'build', 'ingress']), step('pages', ['node', 'web/build.ts'])]),
]);
results.push(await jest('tests', ['unit', 'integration', 'e2e', 'faults'], ['--maxWorkers', String(WORKERS)]));
// Tests that measure a time or a size have the machine to themselves.
results.push(await jest('start and abuse', ['start', 'abuse'], ['--runInBand']));
results.push(await step('bench smoke', ['node', 'bench/speed.ts', '--smoke'], { show: true }));
rmSync(reports, { recursive: true, force: true });

const total = { passed: sum('passed'), failed: sum('failed') };
const faulty = results.filter((result) => result.failed > 0).map((result) => result.name);
process.stdout.write(
  `\n${faulty.length === 0 ? 'Everything passes' : `Failed: ${faulty.join(', ')}`} (${total.passed} passed, ${total.failed} failed).\n`,
);
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.exitCode = faulty.length === 0 ? 0 : 1;

/** Steps run beside each other, so that each prints its output at its end; `show`: at once. */
async function step(name, [command, ...args], { show = false } = {}) {
  const startedMs = performance.now();
  if (show) process.stdout.write(`\n— ${name}\n`);
  const child = spawn(join(bin, command), args, {
    cwd: root,
    env,
    stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
  const [status] = await once(child, 'close');
  process.stdout.write(
    `${show ? '' : `\n— ${name}\n${output}`}${status === 0 ? 'ok' : 'FAILED'} (${secondsSince(startedMs)} s)\n`,
  );
  return { name, passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1 };
}

async function jest(name, projects, args) {
  process.stdout.write(`\n— ${name}\n`);
  mkdirSync(reports, { recursive: true });
  const file = join(reports, `${name}.json`);
  const child = spawn(join(bin, 'jest'), ['--selectProjects', ...projects, ...args, '--json', `--outputFile=${file}`], {
    cwd: root,
    env: {
      ...env,
      DAYPASS_FAULTS: process.env.DAYPASS_CHECK_FAULTS ?? 'quick',
      NODE_OPTIONS: '--experimental-vm-modules --no-warnings=ExperimentalWarning',
    },
    // Its report goes to error output; what it prints on standard output is the JSON again.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const hangs = setTimeout(() => child.kill('SIGKILL'), JEST_MAX_MS);
  const [status] = await once(child, 'close');
  clearTimeout(hangs);
  const { passed, failed } = numbersOf(file);
  // A suite that does not load has no test that could fail.
  return { name, passed, failed: status === 0 ? failed : Math.max(1, failed) };
}

function numbersOf(file) {
  try {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(readFileSync(file, 'utf8'));
    return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

function secondsSince(startedMs) {
  return ((performance.now() - startedMs) / 1_000).toFixed(0);
}

function sum(field) {
  return results.reduce((total, result) => total + result[field], 0);
}
