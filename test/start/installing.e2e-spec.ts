import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { surroundings } from '#libs/launch/child-env.js';
import { until } from '#libs/testing/until.js';

/** The first `npm start` on a bare machine, with an npm and an apt-get that only act as if they installed. */
const SCRIPTS = join(process.cwd(), 'scripts');
const LOCK = {
  packages: {
    '': { name: 'daypass', workspaces: ['scripts'] },
    scripts: { name: '@daypass/scripts' },
    'node_modules/@daypass/scripts': { resolved: 'scripts', link: true },
    'node_modules/one': { version: '1.0.0' },
    'node_modules/two': { version: '2.0.0' },
    'node_modules/three': { version: '3.0.0' },
    'node_modules/four': { version: '4.0.0' },
    'node_modules/elsewhere': { version: '1.0.0', optional: true, os: ['none'] },
    'node_modules/jest': { version: '30.0.0', dev: true },
  },
};

/** Unpacks one package after the other, and writes npm's own list at its end. Where it hangs, an install script hangs with it. */
const NPM = `#!/usr/bin/env node
const { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
appendFileSync('calls', 'npm ' + process.argv.slice(2).join(' ') + '\\n');
if (existsSync('npm-fails')) { console.error('npm error network ETIMEDOUT'); process.exit(1); }
if (existsSync('npm-hangs')) require('node:child_process').spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)', process.cwd()]);
if (process.argv[2] === 'ci') rmSync('node_modules', { recursive: true, force: true });
const all = process.argv.includes('--include=dev');
const wanted = Object.entries(JSON.parse(readFileSync('package-lock.json')).packages).filter(([path, p]) => path.startsWith('node_modules') && !p.link && !p.os && (all || !p.dev));
mkdirSync('node_modules/@nestjs/cli/bin', { recursive: true });
writeFileSync('node_modules/@nestjs/cli/bin/nest.js', 'const fs = require("fs"); fs.mkdirSync("dist/libs/launch", { recursive: true });' +
  'fs.writeFileSync("dist/libs/launch/launch.js", "console.log(\\\\"launched\\\\")")');
(async () => {
  for (const [path] of wanted) {
    mkdirSync(path, { recursive: true });
    writeFileSync(path + '/package.json', '{}');
    await new Promise((resolve) => setTimeout(resolve, existsSync('npm-hangs') ? 60_000 : existsSync('npm-is-slow') ? 300 : 0));
  }
  writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages: Object.fromEntries(wanted) }));
})();
`;

/** `install` brings the programs that it is asked for. */
const APT = `#!/bin/sh
echo "apt-get $*" >> calls
if [ -f apt-fails ]; then echo 'E: Unable to locate package'; exit 100; fi
if [ "$1" = install ]; then
  sleep 0.5
  for name in "$@"; do case "$name" in redis-server|chromium|prometheus) printf '#!/bin/sh\\n' > "bin/$name"; chmod +x "bin/$name" ;; esac; done
fi
`;

describe('the first npm start', () => {
  let folder: string;
  let child: ChildProcess | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'daypass-installing-'));
    cpSync(SCRIPTS, join(folder, 'scripts'), { recursive: true });
    for (const name of ['apps', 'libs', 'cli', 'web', 'bin']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'web/build.ts'), '');
    for (const name of ['tsconfig.json', 'tsconfig.build.json', 'nest-cli.json', 'package.json'])
      writeFileSync(join(folder, name), '{"type":"commonjs"}');
    writeFileSync(join(folder, 'scripts/package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(LOCK));
    program('npm', NPM);
    program('apt-get', APT);
    // Nothing of this machine but the shell and Node, so that nothing is found that would have to be installed.
    for (const name of ['sh', 'sleep', 'chmod', 'env']) program(name, `#!/bin/sh\nexec /bin/${name} "$@"\n`);
    program('node', `#!/bin/sh\nexec ${process.execPath} "$@"\n`);
    program('sudo', '#!/bin/sh\nshift\nexec "$@"\n');
  });
  afterEach(() => {
    child?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('says what it does, in a line a quarter and one at each end', async () => {
    writeFileSync(join(folder, 'npm-is-slow'), '');
    const { code, output } = await start();
    expect(code).toBe(0);
    const lines = output
      .trim()
      .split('\n')
      .map((line) => line.replace(/[\d.]+ s\./, 'n s.'));
    expect(lines).toEqual(
      expect.arrayContaining([
        'Installing npm packages (4) …',
        'Installing Redis with apt-get …',
        expect.stringMatching(/^Installing npm packages: [123] of 4$/),
        'Installed Redis in n s.',
        'Installed 4 npm packages in n s.',
        'Building Daypass …',
        'Built Daypass in n s.',
        'launched',
      ]),
    );
    expect(lines.length).toBeLessThanOrEqual(10);
    expect(lines.indexOf('Installing Redis with apt-get …')).toBeLessThan(
      lines.indexOf('Installed 4 npm packages in n s.'),
    );
  });

  it('installs what only the start needs, and npm test adds the rest without emptying node_modules', async () => {
    await start();
    expect(calls()).toContain('npm ci --omit=dev --no-audit --no-fund --loglevel=error');
    rmSync(join(folder, 'calls'));
    await start();
    expect(existsSync(join(folder, 'calls'))).toBe(false);
    await prepareForTests();
    expect(calls()).toEqual(
      expect.arrayContaining([
        'npm install --no-save --include=dev --no-audit --no-fund --loglevel=error',
        'apt-get install -y -qq --no-install-recommends chromium prometheus',
      ]),
    );
    rmSync(join(folder, 'calls'));
    await start();
    await prepareForTests();
    expect(existsSync(join(folder, 'calls'))).toBe(false);
  });

  it('installs anew when the lock names another version', async () => {
    await start();
    const changed = { packages: { ...LOCK.packages, 'node_modules/one': { version: '1.0.1' } } };
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(changed));
    await start();
    expect(calls().filter((call) => call.startsWith('npm ci'))).toHaveLength(2);
  });

  it('shows what npm said when it fails, and what to do', async () => {
    writeFileSync(join(folder, 'npm-fails'), '');
    const { code, output } = await start();
    expect(code).toBe(1);
    expect(output).toContain('npm error network ETIMEDOUT');
    expect(output).toContain('Check that this machine reaches the npm registry');
    expect(output).not.toMatch(/at .*\.mjs:\d/);
    rmSync(join(folder, 'npm-fails'));
    expect((await start()).output).toContain('launched');
  });

  it('shows what apt-get said when it fails, ends npm, and goes on next time', async () => {
    for (const name of ['apt-fails', 'npm-hangs']) writeFileSync(join(folder, name), '');
    const { code, output } = await start();
    expect(code).toBe(1);
    expect(output).toContain('E: Unable to locate package');
    expect(output).toContain('Install it, so that the command redis-server is found, or set REDIS_URL.');
    await until('npm has ended', () => processesIn(folder).length === 0);
    for (const name of ['apt-fails', 'npm-hangs']) rmSync(join(folder, name));
    expect((await start()).output).toContain('launched');
  });

  it('ends on Ctrl-C without leaving npm behind, and the next start installs all of it', async () => {
    writeFileSync(join(folder, 'npm-hangs'), '');
    const running = start();
    await until('npm unpacks', () => existsSync(join(folder, 'node_modules/one/package.json')));
    child!.kill('SIGINT');
    const { code, output } = await running;
    expect(code).toBe(130);
    expect(output).toContain('The installation was interrupted. The next start goes on with it.');
    await until('npm has ended', () => processesIn(folder).length === 0);
    rmSync(join(folder, 'npm-hangs'));
    expect((await start()).output).toContain('launched');
    expect(calls().filter((call) => call.startsWith('npm ci'))).toHaveLength(2);
  });

  it('ends at once on a second Ctrl-C, though npm does not end', async () => {
    writeFileSync(join(folder, 'npm-hangs'), '');
    program('npm', NPM.replace('const all', "process.on('SIGTERM', () => {});\nconst all"));
    const running = start();
    await until('npm unpacks', () => existsSync(join(folder, 'node_modules/one/package.json')));
    child!.kill('SIGINT');
    // Longer than one keystroke that arrives twice, and before npm is killed.
    await sleep(600);
    expect(child!.exitCode).toBeNull();
    child!.kill('SIGINT');
    expect((await running).code).toBe(130);
    await until('npm has ended', () => processesIn(folder).length === 0);
  });

  it('rewrites one line on a terminal', async () => {
    const { Progress } = (await import(join(SCRIPTS, 'progress.mjs'))) as {
      Progress: new (out: object) => { step: (step: object) => Promise<void> };
    };
    let text = '';
    const progress = new Progress({ isTTY: true, columns: 60, write: (part: string) => (text += part) });
    let counted = 0;
    const packages = progress.step({
      doing: 'Installing npm packages',
      done: 'Installed 20 npm packages',
      total: 20,
      count: () => (counted += 5),
      work: () => sleep(700),
    });
    await progress.step({ doing: 'Installing Redis with apt-get', done: 'Installed Redis', work: () => sleep(300) });
    await packages;
    const writes = text.split('\r\x1b[K').filter(Boolean);
    expect(writes).toContain('Installing npm packages: 10 of 20; Installing Redis with ap');
    expect(writes.filter((write) => write.includes('\n'))).toEqual([
      expect.stringMatching(/^Installed Redis in [\d.]+ s\.\n$/),
      expect.stringMatching(/^Installed 20 npm packages in [\d.]+ s\.\n$/),
    ]);
  });

  function program(name: string, text: string): void {
    writeFileSync(join(folder, 'bin', name), text);
    chmodSync(join(folder, 'bin', name), 0o755);
  }

  const calls = (): string[] => readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n');
  const start = (): Promise<{ code: number | null; output: string }> => run(['scripts/start.mjs']);
  const prepareForTests = (): Promise<{ code: number | null; output: string }> =>
    run([
      '--input-type=module',
      '-e',
      "import { prepare } from './scripts/prepare.mjs'; await prepare({ forTests: true });",
    ]);

  async function run(args: string[]): Promise<{ code: number | null; output: string }> {
    const env = { ...surroundings(process.env), PATH: [join(folder, 'bin')].join(delimiter) };
    child = spawn(process.execPath, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (data: Buffer) => (output += data.toString()));
    const code = await new Promise<number | null>((resolve) => child!.once('close', resolve));
    return { code, output };
  }
});

function processesIn(folder: string): string[] {
  const found = spawnSync('pgrep', ['-af', folder], { encoding: 'utf8' });
  return found.stdout.split('\n').filter((line) => line && !line.includes('pgrep'));
}
