// What `npm start` and `npm test` share: packages, a Redis, a build. Plain JavaScript without packages: it runs before they are there.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => join(root, ...parts);
const say = (text) => process.stdout.write(`${text}\n`);

/** Something that a person has to do: said in a line, without a stack. */
export class Obstacle extends Error {}

/**
 * @param forTests also a Chromium, which the pages are tested in, and a Prometheus, which asks what the dashboards ask
 * @returns the Node that Daypass runs on
 */
export function prepare({ forTests = false } = {}) {
  installPackages();
  if (!process.env.REDIS_URL || forTests) installProgram(REDIS);
  if (forTests) for (const program of [CHROMIUM, PROMETHEUS]) installProgram(program);
  const node = findNode();
  build(node);
  return node;
}

function installPackages() {
  const installed = inRoot('node_modules', '.package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(inRoot('package-lock.json')).mtimeMs) return;
  say('Installing the npm packages (once) …');
  // Also the development ones: the rehearsal upstream, Postgres and Node itself are among them.
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], 'npm could not install the packages');
}

/** The npm package `node` brings the right Node; where install scripts are switched off, ours must do. */
function findNode() {
  const packaged = inRoot('node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');
  if (existsSync(packaged) && spawnSync(packaged, ['--version']).status === 0) return packaged;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  throw new Obstacle(`Daypass needs Node 24, and this is ${process.version}: allow npm's install scripts (npm rebuild node), or install Node 24.`);
}

const REDIS = {
  name: 'Redis',
  commands: ['redis-server', 'valkey-server'],
  byHand: 'Daypass needs Redis 7 or Valkey: install it (the command redis-server must be found), or set REDIS_URL.',
  packages: { 'apt-get': 'redis-server', dnf: 'redis', apk: 'redis', pacman: 'valkey', brew: 'redis' },
};

const CHROMIUM = {
  name: 'Chromium',
  commands: ['chromium', 'chromium-browser', 'google-chrome'],
  byHand: 'The tests look at pages in Chromium: install it (the command chromium must be found).',
  packages: { 'apt-get': 'chromium', dnf: 'chromium', apk: 'chromium', pacman: 'chromium', brew: '--cask chromium' },
};

const PROMETHEUS = {
  name: 'Prometheus',
  commands: ['prometheus'],
  byHand: 'The tests ask a Prometheus: install it (the commands prometheus and promtool must be found).',
  packages: { 'apt-get': 'prometheus', dnf: 'golang-github-prometheus', apk: 'prometheus', pacman: 'prometheus', brew: 'prometheus' },
};

const MANAGERS = {
  'apt-get': ['apt-get update -qq', 'apt-get install -y -qq --no-install-recommends'],
  dnf: ['dnf install -y -q'],
  apk: ['apk add --quiet'],
  pacman: ['pacman -Sy --noconfirm --quiet'],
  brew: ['brew install --quiet'],
};

function installProgram({ name, commands, byHand, packages }) {
  if (commands.some(isFound)) return;
  const manager = Object.keys(MANAGERS).find(isFound);
  if (!manager) throw new Obstacle(byHand);
  const sudo = manager === 'brew' || process.getuid?.() === 0 ? '' : 'sudo -n ';
  say(`Installing ${name} with ${manager} (once) …`);
  const steps = MANAGERS[manager];
  for (const step of [...steps.slice(0, -1), `${steps.at(-1)} ${packages[manager]}`]) {
    const [file, ...args] = `${sudo}${step}`.split(' ');
    // RUNLEVEL: the package's own service is not started. We run one of our own and leave port 6379 alone.
    const { status } = spawnSync(file, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    });
    if (status !== 0) throw new Obstacle(`\`${sudo}${step}\` failed. ${byHand}`);
  }
  if (!commands.some(isFound)) throw new Obstacle(byHand);
}

function isFound(command) {
  return spawnSync('/bin/sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }).status === 0;
}

/** Builds unless dist/ was built from exactly these sources. */
function build(node) {
  const stampFile = inRoot('dist', '.build-stamp');
  const stamp = stampOfSources();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  say('Building …');
  rmSync(stampFile, { force: true });
  // The incremental build would leave what it believes to be there.
  rmSync(inRoot('dist', '.tsbuildinfo'), { force: true });
  run(node, [inRoot('node_modules', '@nestjs', 'cli', 'bin', 'nest.js'), 'build', 'ingress'], 'the build failed');
  mkdirSync(inRoot('dist'), { recursive: true });
  writeFileSync(stampFile, stamp);
}

function stampOfSources() {
  const hash = createHash('sha256');
  for (const file of ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'nest-cli.json', ...filesUnder('apps'), ...filesUnder('libs')]) {
    const { size, mtimeMs } = statSync(inRoot(file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function filesUnder(folder) {
  const entries = readdirSync(inRoot(folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) =>
    entry.isDirectory() ? filesUnder(join(folder, entry.name)) : /\.(ts|lua)$/.test(entry.name) ? [join(folder, entry.name)] : [],
  );
}

function run(file, args, failure) {
  try {
    execFileSync(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  } catch {
    throw new Obstacle(failure);
  }
}
