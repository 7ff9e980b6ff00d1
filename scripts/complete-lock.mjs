// Run this after `npm install`: it repairs package-lock.json (docs/adr/0013-what-start-installs.md).
// 1. A registry may lack the binary of another system. npm drops it from the lock, and `npm ci` then refuses the lock.
// 2. An optional peer makes npm install a package that only tests need: aimock names jest, the Nest CLI names swc.
// 3. npm installs a package without a checksum (`integrity`) unchecked. The registry tells the missing ones. A version
//    that the registry lacks gets the checksum of nothing. npm then refuses whatever may come under its name, and does
//    without it.
// With `--check` it asks nobody and writes nothing, and fails where the lock needs a repair.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

const CHECKSUM_OF_NOTHING = `sha512-${createHash('sha512').digest('base64')}`;

const file = join(root, 'package-lock.json');
const before = readFileSync(file, 'utf8');
const lock = JSON.parse(before);
const added = addOtherSystems();
const forgotten = forgetPeersOfLargerSets();
const check = process.argv.includes('--check');
const summed = check ? 0 : await addChecksums();
const unsummed = packages().filter(([, { integrity }]) => !isChecksum(integrity));
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
const after = `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`;
if (check) {
  if (after !== before)
    process.stderr.write('package-lock.json is as npm left it: run `node scripts/complete-lock.mjs`.\n');
} else {
  writeFileSync(file, after);
  process.stdout.write(
    `package-lock.json: added ${added} packages of other systems and ${summed} checksums, forgot ${forgotten} optional peers\n`,
  );
}
for (const [path, { version }] of unsummed)
  process.stderr.write(
    `${nameOf(path)}@${version} has no checksum in package-lock.json: run \`node scripts/complete-lock.mjs\`.\n`,
  );
if (unsummed.length > 0 || (check && after !== before)) process.exitCode = 1;

/** What comes from a registry. */
function packages() {
  return Object.entries(lock.packages).filter(([path, { link }]) => path.includes('node_modules/') && !link);
}

/** npm takes sha1 as well, which somebody can forge. */
function isChecksum(integrity) {
  return /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '');
}

async function addChecksums() {
  let count = 0;
  for (const [path, entry] of packages()) {
    if (isChecksum(entry.integrity) && entry.integrity !== CHECKSUM_OF_NOTHING) continue;
    const integrity =
      (await toldChecksum(nameOf(path), entry.version)) ?? (entry.optional ? CHECKSUM_OF_NOTHING : undefined);
    if (integrity === undefined || integrity === entry.integrity) continue;
    lock.packages[path] = inOrder({ ...entry, integrity });
    count++;
  }
  return count;
}

/** undefined where the registry lacks this version. @throws when the registry does not answer */
async function toldChecksum(name, version) {
  try {
    const { stdout } = await promisify(execFile)('npm', ['view', `${name}@${version}`, 'dist.integrity'], {
      cwd: root,
    });
    return isChecksum(stdout.trim()) ? stdout.trim() : undefined;
  } catch (error) {
    if (/code E404/.test(error.stderr)) return undefined;
    throw error;
  }
}

function nameOf(path) {
  return lock.packages[path].name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/** Adds the binaries that their parents name. */
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
    lock.packages[path] = inOrder({ ...entry, dev: true });
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

/** As npm writes an entry. The same order keeps differences small. */
function inOrder(entry) {
  const first = ['name', 'version', 'resolved', 'integrity', 'cpu', 'dev'];
  const known = first.filter((key) => entry[key] !== undefined);
  return { ...Object.fromEntries(known.map((key) => [key, entry[key]])), ...entry };
}
