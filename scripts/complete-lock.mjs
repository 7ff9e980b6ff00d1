// Run this after `npm install`: it repairs package-lock.json (docs/adr/0013-what-start-installs.md).
// 1. A registry may lack the binary of another system. npm drops it from the lock, and `npm ci` then refuses the lock.
// 2. An optional peer makes npm install a package that only tests need: aimock names jest, the Nest CLI names swc.
// With `--check` it writes nothing, and fails where the lock needs a repair.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './prepare.mjs';

const SYSTEMS = {
  android: 'android',
  darwin: 'darwin',
  freebsd: 'freebsd',
  linux: 'linux',
  openharmony: 'openharmony',
  win: 'win32',
  win32: 'win32',
  windows: 'win32',
};
const PROCESSORS = {
  x64: 'x64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: 'ia32',
  ppc64: 'ppc64',
  ppc64le: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  loong64: 'loong64',
};

const file = join(root, 'package-lock.json');
const before = readFileSync(file, 'utf8');
const lock = JSON.parse(before);
const added = addOtherSystems();
const forgotten = forgetPeersOfLargerSets();
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
const after = `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`;
if (process.argv.includes('--check')) {
  if (after !== before) {
    process.stderr.write('package-lock.json is as npm left it: run `node scripts/complete-lock.mjs`.\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, after);
  process.stdout.write(
    `package-lock.json: added ${added} packages of other systems, forgot ${forgotten} optional peers\n`,
  );
}

/** Adds the binaries that their parents name, without a checksum. */
function addOtherSystems() {
  const missing = {};
  for (const [path, parent] of Object.entries(lock.packages)) {
    if (path === '') continue;
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      if (lock.packages[`node_modules/${name}`] || lock.packages[`${path}/node_modules/${name}`]) continue;
      const words = name.split(/[/-]/);
      const os = words.map((word) => SYSTEMS[word]).find(Boolean);
      const cpu = words.map((word) => PROCESSORS[word]).find(Boolean);
      if (!os || !cpu || !/^\d/.test(version))
        throw new Error(`${path} names ${name}@${version}, and the name shows no system`);
      const libc = words.includes('musl') ? ['musl'] : words.includes('gnu') ? ['glibc'] : undefined;
      missing[`node_modules/${name}`] = {
        version,
        cpu: [cpu],
        ...(parent.dev ? { dev: true } : {}),
        ...(libc ? { libc } : {}),
        optional: true,
        os: [os],
      };
    }
  }
  Object.assign(lock.packages, missing);
  return Object.keys(missing).length;
}

/**
 * A package may name an optional peer, which it can do without. If only a larger set has that peer (tests ⊃ start ⊃
 * image), npm would install it in the smaller set too. So the lock drops such peers, and marks as `dev` what only tests
 * need then.
 */
function forgetPeersOfLargerSets() {
  const image = reachedFrom(['']);
  const start = reachedFrom(['', ...(lock.packages[''].workspaces ?? [])]);
  let forgotten = 0;
  for (const set of [image, start])
    for (const path of set) {
      const { peerDependencies = {}, peerDependenciesMeta = {} } = lock.packages[path];
      for (const name of Object.keys(peerDependencies)) {
        const peer = found(path, name);
        if (!peerDependenciesMeta[name]?.optional || !peer || set.has(peer)) continue;
        delete peerDependencies[name];
        delete peerDependenciesMeta[name];
        forgotten++;
      }
      for (const field of ['peerDependencies', 'peerDependenciesMeta'])
        if (Object.keys(lock.packages[path][field] ?? { any: 1 }).length === 0) delete lock.packages[path][field];
    }
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (start.has(path) || entry.link || entry.dev) continue;
    delete entry.devOptional;
    lock.packages[path] = withDev(entry);
  }
  return forgotten;
}

/** The packages that these need, at any depth, without optional peers. */
function reachedFrom(paths) {
  const reached = new Set();
  const visit = (path) => {
    if (path === undefined || reached.has(path)) return;
    reached.add(path);
    const { dependencies, optionalDependencies, peerDependencies = {}, peerDependenciesMeta } = lock.packages[path];
    const peers = Object.keys(peerDependencies).filter((name) => !peerDependenciesMeta?.[name]?.optional);
    for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers])
      visit(found(path, name));
  };
  for (const path of paths) visit(path);
  return reached;
}

/** The path at which a package finds another one: in its own node_modules, or in one further up. */
function found(path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    const candidate = `${folder ? `${folder}/` : ''}node_modules/${name}`;
    if (lock.packages[candidate]) return candidate;
    if (folder === '') return undefined;
  }
}

/** npm writes `dev` after the checksum and `cpu`. The same order keeps differences small. */
function withDev(entry) {
  const before = ['name', 'version', 'resolved', 'integrity', 'cpu'];
  const pairs = Object.entries(entry);
  return Object.fromEntries([
    ...pairs.filter(([key]) => before.includes(key)),
    ['dev', true],
    ...pairs.filter(([key]) => !before.includes(key)),
  ]);
}
