// `npm run check` runs everything: format, lint, types, build, tests. A failed step does not stop the others, so that
// one run shows all faults.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from './prepare.mjs';

/** More than a machine of two cores has: most of the tests' time is waiting. */
const WORKERS = 3;
/** Several times what it takes. */
const JEST_MAX_MS = 40 * 60_000;
/** Node may wait for ever at its end for a connection that was about to be made (in `CleanupHandles`). */
const JEST_END_MAX_MS = 15_000;
/** What `.ci/run` adds: it takes an engine of Docker, or installs clients from registries. */
const MORE = {
  compose: ['node', 'test/compose/run.mjs'],
  fuzz: ['node', 'test/abuse/admin-fuzz.ts'],
  clients: ['node', 'test/clients/run.ts'],
};
const BENCH = [() => step('bench smoke', ['node', 'bench/speed.ts', '--smoke'], { nice: true })];
const LINGERED = 'lingered';
const NICE = ['nice', '-n', '5'];
const more = (process.env.DAYPASS_CHECK_MORE ?? '').split(',').filter(Boolean);
const unknown = more.filter((name) => !(name in MORE));
if (unknown.length > 0)
  throw new Error(`DAYPASS_CHECK_MORE names ${unknown.join(', ')}; it takes ${Object.keys(MORE).join(', ')}`);
const bin = join(root, 'node_modules', '.bin');
const reports = mkdtempSync(join(tmpdir(), 'daypass-check-'));
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
// A test must never spend the developer's own key, nor write to the developer's stores.
for (const name of Object.keys(env))
  if (/^(OPENAI_|OTEL_|DAYPASS_(?!CHECK|TEST_REDIS_SERVER$))|^(REDIS|DATABASE)_URL$/.test(name)) delete env[name];

// Services, npm and the command start some hundred times from the same files. So Node compiles each of them once.
const COMPILED = { NODE_COMPILE_CACHE: join(reports, 'compiled') };

const results = [];
if (!process.argv.includes('--built'))
  // `npm test` has built already. Building again would only cost time.
  await Promise.all([step('build', ['nest', 'build', 'ingress']), step('pages', ['node', 'web/build.ts'])]);
const composed = oneByOne(moreOf('compose'));
// Faults wait most of their time, and so does compose. Whatever computes runs beside them, and lets them go first: they
// have clocks in them, and a stranger tells how long a person waits.
await Promise.all([
  oneByOne([
    // The lint knows all types, of the pages too. Two runs of tsc beside it took 126 s more.
    () =>
      step('lint and types', ['oxlint', '--type-aware', '--type-check', '--tsconfig', 'tsconfig.json'], { nice: true }),
    () => step('format', ['prettier', '--check', '--log-level', 'warn', '.'], { nice: true }),
  ]),
  oneByOne([
    () => jest('faults', ['faults'], ['--maxWorkers', '1']),
    () => composed,
    () => jest('stranger', ['stranger'], ['--runInBand']),
  ]),
  composed.then(() => oneByOne([...moreOf('fuzz'), ...moreOf('clients'), ...BENCH])),
  oneByOne([
    // What has a clock in it, as faults and compose have, goes before what only computes.
    () => jest('integration and unit', ['integration', 'unit'], ['--maxWorkers', String(WORKERS)], { nice: true }),
    // Compose makes networks. A Chromium that sees a new one drops what it loads.
    () => composed,
    () => jest('e2e', ['e2e'], ['--maxWorkers', String(WORKERS)], { nice: true }),
  ]),
]);
// Tests that measure a time or a size have the machine to themselves, and start as operators do.
await jest('start and abuse', ['start', 'abuse'], ['--runInBand'], { compiled: {} });
// A process that ends writes what it compiled.
rmSync(reports, { recursive: true, force: true, maxRetries: 20 });

const total = { passed: sum('passed'), failed: sum('failed') };
const faulty = results.filter((result) => result.failed > 0).map((result) => result.name);
process.stdout.write(
  `\n${faulty.length === 0 ? 'Everything passes' : `Failed: ${faulty.join(', ')}`} (${total.passed} passed, ${total.failed} failed).\n`,
);
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.exitCode = faulty.length === 0 ? 0 : 1;

async function oneByOne(steps) {
  for (const run of steps) await run();
}

function moreOf(name) {
  return more.includes(name) ? [() => step(name, MORE[name], { nice: name !== 'compose' })] : [];
}

/** Steps run beside each other, so that each prints its output at its end. `nice`: it lets all others go first. */
async function step(name, command, { nice = false } = {}) {
  const startedMs = performance.now();
  const report = join(reports, `${name}.json`);
  const [file, ...args] = nice ? NICE.concat(command) : command;
  const child = spawn(file, args, {
    cwd: root,
    env: { ...env, ...COMPILED, DAYPASS_CHECK_REPORT: report },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const status = await endOf(child);
  process.stdout.write(`\n— ${name}\n${output}${status === 0 ? 'ok' : 'FAILED'} (${secondsSince(startedMs)} s)\n`);
  const ofItself = status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  add(name, status, existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : ofItself);
}

/** A step that ended badly has failed, whatever it counted until then. */
function add(name, status, { passed, failed }) {
  results.push({ name, passed, failed: status === 0 ? failed : Math.max(1, failed) });
}

/** The exit status, or what there is instead of one. */
async function endOf(child) {
  try {
    const [status, signal] = await once(child, 'close');
    return status ?? signal;
  } catch (error) {
    return error.code;
  }
}

async function jest(name, projects, options, { nice = false, compiled = COMPILED } = {}) {
  process.stdout.write(`\n— ${name}\n`);
  const startedMs = performance.now();
  const report = join(reports, `${name}.json`);
  const command = ['jest', '--selectProjects', ...projects, ...options, '--json', `--outputFile=${report}`];
  const [file, ...args] = nice ? NICE.concat(command) : command;
  const child = spawn(file, args, {
    cwd: root,
    env: {
      ...env,
      ...compiled,
      DAYPASS_FAULTS: process.env.DAYPASS_CHECK_FAULTS ?? 'quick',
      NODE_OPTIONS: '--experimental-vm-modules --no-warnings=ExperimentalWarning',
    },
    // Its report goes to error output; what it prints on standard output is the JSON again.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const hangs = setTimeout(() => child.kill('SIGKILL'), JEST_MAX_MS);
  const ended = endOf(child);
  const status = (await Promise.race([ended, reportedIn(report, child)])) ?? (await ended);
  clearTimeout(hangs);
  const numbers = numbersOf(report);
  const isOk = status === 0 || (status === LINGERED && numbers.failed === 0);
  process.stdout.write(`\n— ${name}: ${isOk ? 'ok' : 'FAILED'} (${secondsSince(startedMs)} s)\n`);
  add(name, isOk ? 0 : 1, numbers);
}

/** Ends a jest that has written its report, and does not end. The report says how its tests went. */
async function reportedIn(report, child) {
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  while (!existsSync(report) && !isOver()) await sleep(1_000, undefined, { ref: false });
  for (let waitedMs = 0; waitedMs < JEST_END_MAX_MS && !isOver(); waitedMs += 1_000)
    await sleep(1_000, undefined, { ref: false });
  if (isOver()) return undefined;
  process.stdout.write(`\nA jest did not end ${JEST_END_MAX_MS / 1_000} s after its report, and was killed.\n`);
  child.kill('SIGKILL');
  return LINGERED;
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
