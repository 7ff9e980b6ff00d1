// `npm run check`, the only door: format, lint, types, build, every test. All of it runs, so that one look shows all faults.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './prepare.mjs';

const bin = join(root, 'node_modules', '.bin');
const reports = mkdtempSync(join(tmpdir(), 'daypass-check-'));
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
// A key of the developer's own must never be spent by a test, nor its stores be written to.
for (const name of Object.keys(env)) if (/^(OPENAI_|OTEL_|DAYPASS_(?!CHECK))|^(REDIS|DATABASE)_URL$/.test(name)) delete env[name];

const results = [
  step('format', ['prettier', '--check', '--log-level', 'warn', '.']),
  step('lint', ['oxlint', '--type-aware', '--tsconfig', 'tsconfig.lint.json']),
  step('types', ['tsc', '--noEmit']),
  // `npm test` has just built; building again would only cost time.
  ...(process.argv.includes('--built') ? [] : [step('build', ['nest', 'build', 'ingress'])]),
  // The end-to-end tests take a machine of two cores each: one file after the other.
  jest('tests', ['--selectProjects', 'unit', 'integration']),
  jest('end-to-end tests', ['--selectProjects', 'e2e', '--runInBand']),
  step('bench smoke', ['node', 'bench/speed.ts', '--smoke']),
  // A scenario that fails may leave its load running, which must not keep the report waiting.
  jest('faults', ['--selectProjects', 'faults', '--runInBand', '--forceExit'], { DAYPASS_FAULTS: process.env.DAYPASS_CHECK_FAULTS ?? 'quick' }),
];
rmSync(reports, { recursive: true, force: true });

const total = { passed: sum('passed'), failed: sum('failed') };
const faulty = results.filter((result) => result.failed > 0).map((result) => result.name);
process.stdout.write(`\n${faulty.length === 0 ? 'Everything passes' : `Failed: ${faulty.join(', ')}`} (${total.passed} passed, ${total.failed} failed).\n`);
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.exitCode = faulty.length === 0 ? 0 : 1;

function step(name, [command, ...args]) {
  process.stdout.write(`\n— ${name}\n`);
  const { status } = spawnSync(join(bin, command), args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  return { name, passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1 };
}

function jest(name, args, more = {}) {
  process.stdout.write(`\n— ${name}\n`);
  mkdirSync(reports, { recursive: true });
  const file = join(reports, `${name}.json`);
  const { status } = spawnSync(join(bin, 'jest'), [...args, '--json', `--outputFile=${file}`], {
    cwd: root,
    env: { ...env, ...more, NODE_OPTIONS: '--experimental-vm-modules --no-warnings=ExperimentalWarning' },
    // Its report goes to error output; what it prints on standard output is the JSON again.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
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

function sum(field) {
  return results.reduce((total, result) => total + result[field], 0);
}
