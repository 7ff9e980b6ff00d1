import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** In the place of each program: it writes when it begins and ends, and what a step counts. */
const PROGRAM = `#!/bin/sh
echo "begin $(basename "$0") $*" >> "$CALLS"
sleep 0.2
echo "end $(basename "$0") $*" >> "$CALLS"
for argument; do
  case "$argument" in
    --outputFile=*) echo '{"numPassedTests":5,"numFailedTests":0,"numRuntimeErrorTestSuites":0}' > "\${argument#*=}" ;;
    test/compose/*) echo '{"passed":20,"failed":2}' > "$DAYPASS_CHECK_REPORT"; exit 1 ;;
  esac
done
[ "$(basename "$0")" != oxlint ]
`;

describe('npm run check', () => {
  let tree: string;
  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), 'daypass-check-spec-'));
    cpSync('scripts', join(tree, 'scripts'), { recursive: true });
    const bin = join(tree, 'node_modules', '.bin');
    mkdirSync(bin, { recursive: true });
    for (const name of ['jest', 'oxlint', 'prettier', 'node', 'nest']) {
      writeFileSync(join(bin, name), PROGRAM);
      chmodSync(join(bin, name), 0o755);
    }
  });
  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  function check(more: string) {
    const [calls, report] = [join(tree, 'calls'), join(tree, 'report.json')];
    writeFileSync(calls, '');
    const { status, stderr } = spawnSync(process.execPath, ['scripts/check.mjs', '--built'], {
      cwd: tree,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, CALLS: calls, DAYPASS_CHECK_MORE: more, DAYPASS_CHECK_REPORT: report },
    });
    const lines = readFileSync(calls, 'utf8').trim().split('\n');
    const when = (step: string): { begun: number; ended: number } => ({
      begun: lines.findIndex((line) => line.startsWith('begin ') && line.includes(step)),
      ended: lines.findIndex((line) => line.startsWith('end ') && line.includes(step)),
    });
    return { status, stderr, lines, when, report: () => JSON.parse(readFileSync(report, 'utf8')) as unknown };
  }

  it('runs faults beside all others, pages after compose, and what measures alone', () => {
    const { lines, when } = check('compose,fuzz,clients');
    const [faults, compose, e2e] = [when('--selectProjects faults'), when('compose/run'), when('--selectProjects e2e')];
    const [alone, integration] = [when('--selectProjects start abuse'), when('--selectProjects integration unit')];
    expect(Math.max(faults.begun, compose.begun)).toBeLessThan(integration.ended);
    expect(compose.ended).toBeGreaterThan(0);
    expect(e2e.begun).toBeGreaterThan(Math.max(compose.ended, integration.ended));
    const stranger = when('--selectProjects stranger');
    expect(stranger.begun).toBeGreaterThan(Math.max(faults.ended, compose.ended));
    const names = [
      'admin-fuzz',
      'clients/run',
      'speed.ts --smoke',
      '--type-check',
      '--type-aware',
      'prettier',
      'faults',
      'e2e',
      'stranger',
    ];
    for (const step of names)
      expect([step, when(step).ended > 0 && when(step).ended < alone.begun]).toEqual([step, true]);
    expect(alone).toEqual({ begun: lines.length - 2, ended: lines.length - 1 });
  });

  it('goes on after a step that failed, and counts what each step counted', () => {
    const { status, report } = check('compose');
    // The format, the smoke, five of jest, and compose; the lint failed.
    expect(report()).toEqual({ passed: 2 + 5 * 5 + 20, failed: 1 + 2 });
    expect(status).toBe(1);
  });

  it('runs nothing where it does not know what else to run', () => {
    const { status, stderr, lines } = check('compose,fuss');
    expect([status, lines]).toEqual([1, ['']]);
    expect(stderr).toContain('DAYPASS_CHECK_MORE names fuss; it takes compose, fuzz, clients');
  });
});
