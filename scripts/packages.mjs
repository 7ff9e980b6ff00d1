// Compares package-lock.json, for this system, with npm's list of what it installed.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @param set `start`: what Daypass needs to build and to run; `all`: what tests and development need as well
 * @returns the numbers of packages that are missing, have another version, are installed and are wanted; a count of
 * those unpacked so far; and the installed set
 */
export function missingPackages(root, set) {
  const wanted = packagesOf(root, set);
  const installed = readLock(join(root, 'node_modules', '.package-lock.json'));
  const absent = wanted.filter(([path, { optional }]) => !installed[path] && !optional);
  const differing = wanted.filter(([path, { version }]) => installed[path] && installed[path].version !== version);
  return {
    missing: absent.length,
    differing: differing.length,
    installed: Object.keys(installed).length,
    installedSet: Object.values(installed).some(({ dev }) => dev) ? 'all' : 'start',
    total: wanted.length,
    count: () => wanted.filter(([path]) => existsSync(join(root, path, 'package.json'))).length,
  };
}

function packagesOf(root, set) {
  return Object.entries(readLock(join(root, 'package-lock.json'))).filter(
    ([path, entry]) =>
      path.includes('node_modules/') && !entry.link && (set === 'all' || !entry.dev) && isForThisSystem(entry),
  );
}

function readLock(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}

function isForThisSystem({ os, cpu, libc }) {
  const names = (list, name) => !list || [list].flat().includes(name);
  return names(os, process.platform) && names(cpu, process.arch) && names(libc, libcHere);
}

const libcHere =
  process.platform === 'linux' ? (process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl') : undefined;
