// `npm start` and `npm test` share this: packages, a Redis, a build. It is plain JavaScript without packages, because
// it runs before them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Interrupted, Obstacle, runChild } from './child.mjs';
import { linkNode } from './link-node.mjs';
import { missingPackages } from './packages.mjs';
import { Progress } from './progress.mjs';
import { hasVenv, installVenv } from './venv.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => join(root, ...parts);
const PARENT_POLL_MS = 500;
/** One Ctrl-C arrives twice: from the terminal and from npm. */
export const SAME_KEYSTROKE_MS = 300;

/**
 * @param forTests also installs what only tests need: npm packages, Chromium for the pages, Prometheus for the
 * dashboards' queries, and OpenAI's Python client
 * @returns the Node that Daypass runs on
 * @throws Obstacle
 */
export async function prepare({ forTests = false } = {}) {
  const progress = new Progress();
  const ending = new AbortController();
  let interruptedAt;
  const interrupt = () => {
    if (interruptedAt === undefined) {
      interruptedAt = Date.now();
      process.stdout.write('\nEnding the installation. Ctrl-C again ends it at once.\n');
      ending.abort(new Interrupted('The installation was interrupted. The next start goes on with it.'));
    } else if (Date.now() - interruptedAt > SAME_KEYSTROKE_MS) process.exit(130);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, interrupt);
  // When somebody kills npm itself, nobody passes the signal on. An adopted process then ends by itself.
  const parent = process.ppid;
  const watch = setInterval(
    () => process.env.npm_lifecycle_event && process.ppid !== parent && interrupt(),
    PARENT_POLL_MS,
  );
  const wanted = [...(!process.env.REDIS_URL || forTests ? [REDIS] : []), ...(forTests ? [CHROMIUM, PROMETHEUS] : [])];
  try {
    await together(ending, [
      (signal) => installPackages(forTests ? 'all' : 'start', progress, signal),
      (signal) =>
        installPrograms(
          wanted.filter(({ commands }) => !commands.some(isFound)),
          progress,
          signal,
        ),
      ...(forTests ? [(signal) => installPythonClient(progress, signal)] : []),
    ]);
    const node = findNode();
    await build(node, progress, ending.signal);
    return node;
  } finally {
    clearInterval(watch);
    // Once interrupted, this process ends: a second Ctrl-C may come while it does.
    if (interruptedAt === undefined) for (const signal of signals) process.off(signal, interrupt);
  }
}

/** Runs all of them at once. When one fails, it ends the others and throws that error. */
async function together(ending, tasks) {
  const results = await Promise.allSettled(
    tasks.map(async (task) => {
      try {
        await task(ending.signal);
      } catch (error) {
        ending.abort(error);
        throw error;
      }
    }),
  );
  if (results.some(({ status }) => status === 'rejected')) throw ending.signal.reason;
}

async function installPackages(wantedSet, progress, signal) {
  // npm would remove the packages that a contributor's tests need.
  const set = missingPackages(root, wantedSet).installedSet === 'all' ? 'all' : wantedSet;
  const { missing, differing, installed, total, count } = missingPackages(root, set);
  if (missing === 0 && differing === 0) return;
  // `npm ci` empties node_modules first, although a Daypass may run from it. So it adds to a right but smaller set.
  const command = installed > 0 && differing === 0 ? ['install', '--no-save'] : ['ci'];
  // npm writes this list at its end. Without it the next start sees that this one was interrupted.
  rmSync(inRoot('node_modules', '.package-lock.json'), { force: true });
  await progress.step({
    doing: 'Installing npm packages',
    done: `Installed ${total} npm packages`,
    total,
    count,
    work: () =>
      runChild(
        [
          'npm',
          ...command,
          set === 'all' ? '--include=dev' : '--omit=dev',
          '--no-audit',
          '--no-fund',
          '--loglevel=error',
        ],
        {
          cwd: root,
          whatToDo: 'Read what npm says above. Check that this machine reaches the npm registry, then start again.',
          signal,
        },
      ),
  });
}

/** npm brings the right Node as a package. Where it cannot, the Node that runs this has to do. */
function findNode() {
  const packaged = linkNode();
  if (packaged && spawnSync(packaged, ['--version']).status === 0) return packaged;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  throw new Obstacle(
    `Daypass needs Node 24, and this is Node ${process.versions.node}. npm has no Node for this system: install Node 24.`,
  );
}

const REDIS = {
  name: 'Redis',
  commands: ['redis-server', 'valkey-server'],
  byHand: 'Daypass needs Redis 7 or Valkey. Install it, so that the command redis-server is found, or set REDIS_URL.',
  packages: { 'apt-get': 'redis-server', dnf: 'redis', apk: 'redis', pacman: 'valkey', brew: 'redis' },
};

const CHROMIUM = {
  name: 'Chromium',
  commands: ['chromium', 'chromium-browser', 'google-chrome'],
  byHand: 'The tests open pages in Chromium. Install it, so that the command chromium is found.',
  packages: { 'apt-get': 'chromium', dnf: 'chromium', apk: 'chromium', pacman: 'chromium', brew: '--cask chromium' },
};

const PROMETHEUS = {
  name: 'Prometheus',
  commands: ['prometheus'],
  byHand: 'The tests ask a Prometheus. Install it, so that the commands prometheus and promtool are found.',
  packages: {
    'apt-get': 'prometheus',
    dnf: 'golang-github-prometheus',
    apk: 'prometheus',
    pacman: 'prometheus',
    brew: 'prometheus',
  },
};

/** Runs `update` first where there is one. `oneByOne`: options for one package must not hold for the others. */
const MANAGERS = {
  'apt-get': { update: 'apt-get update -qq', install: 'apt-get install -y -qq --no-install-recommends' },
  dnf: { install: 'dnf install -y -q' },
  apk: { install: 'apk add --quiet' },
  pacman: { install: 'pacman -Sy --noconfirm --quiet' },
  brew: { install: 'brew install --quiet', oneByOne: true },
};

/** A package manager locks out others, so that one call installs all programs. */
async function installPrograms(programs, progress, signal) {
  if (programs.length === 0) return;
  const byHand = programs.map((program) => program.byHand).join(' ');
  const manager = Object.keys(MANAGERS).find(isFound);
  if (!manager) throw new Obstacle(byHand);
  const { update, install, oneByOne } = MANAGERS[manager];
  const sudo = manager === 'brew' || process.getuid?.() === 0 ? '' : 'sudo -n ';
  const packages = programs.map((program) => program.packages[manager]);
  const calls = [
    ...(update ? [update] : []),
    ...(oneByOne ? packages : [packages.join(' ')]).map((names) => `${install} ${names}`),
  ];
  const names = programs.map(({ name }) => name).join(', ');
  await progress.step({
    doing: `Installing ${names} with ${manager}`,
    done: `Installed ${names}`,
    work: async () => {
      // RUNLEVEL: without systemd the package does not start its service. Daypass runs its own and leaves port 6379
      // alone.
      const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
      for (const call of calls)
        await runChild(`${sudo}${call}`.split(' '), { env, whatToDo: byHand, signal, patient: true });
    },
  });
  const lacking = programs.filter(({ commands }) => !commands.some(isFound));
  if (lacking.length > 0) throw new Obstacle(lacking.map((program) => program.byHand).join(' '));
}

/**
 * The tests paste the Python examples of the docs, and ask a validator about the OpenAPI of the visitors' door. Without
 * Python, or a part of it, they only compile the examples, and a line says so.
 */
async function installPythonClient(progress, signal) {
  const wanted = { venv: inRoot('.venv'), requirements: inRoot('test', 'python-requirements.txt') };
  if (!isFound('python3') || hasVenv(wanted)) return;
  const whatToDo = 'The Python examples of the docs are compiled and not run.';
  const work = () => installVenv(wanted, (command, env) => runChild(command, { cwd: root, env, whatToDo, signal }));
  try {
    await progress.step({
      doing: "Installing OpenAI's Python client and a validator",
      done: "Installed OpenAI's Python client and a validator",
      work,
    });
  } catch (error) {
    if (error instanceof Interrupted || signal.aborted) throw error;
    process.stdout.write(`${error.message}\n`);
  }
}

function isFound(command) {
  return spawnSync('/bin/sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }).status === 0;
}

/** Builds, unless dist/ comes from exactly these sources. */
async function build(node, progress, signal) {
  const stampFile = inRoot('dist', '.build-stamp');
  const stamp = stampOfSources();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  rmSync(stampFile, { force: true });
  // The incremental build would skip the files that it believes to be there.
  rmSync(inRoot('dist', '.tsbuildinfo'), { force: true });
  await progress.step({
    doing: 'Building Daypass',
    done: 'Built Daypass',
    // The pages take a second beside the compiler.
    work: () =>
      Promise.all(
        [
          [inRoot('node_modules', '@nestjs', 'cli', 'bin', 'nest.js'), 'build', 'ingress'],
          [inRoot('web', 'build.ts')],
        ].map((command) =>
          runChild([node, ...command], { cwd: root, whatToDo: 'Read what the compiler says above.', signal }),
        ),
      ),
  });
  mkdirSync(inRoot('dist'), { recursive: true });
  writeFileSync(stampFile, stamp);
}

function stampOfSources() {
  const hash = createHash('sha256');
  for (const file of [
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'nest-cli.json',
    ...filesUnder('apps'),
    ...filesUnder('libs'),
    ...filesUnder('cli'),
    ...filesUnder('web'),
  ]) {
    const { size, mtimeMs } = statSync(inRoot(file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function filesUnder(folder) {
  const entries = readdirSync(inRoot(folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) =>
    entry.isDirectory()
      ? filesUnder(join(folder, entry.name))
      : /\.(ts|tsx|css|js|json|lua)$/.test(entry.name)
        ? [join(folder, entry.name)]
        : [],
  );
}
