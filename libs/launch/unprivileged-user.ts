import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

export interface Identity {
  uid: number;
  gid: number;
}

/**
 * Postgres refuses to run as root. Root gets the user that already owns the data, else `postgres` where the system has
 * one, else `nobody`. Undefined for other users.
 */
export function unprivilegedUser(existingDataDir: string): Identity | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const owner = ownerOf(existingDataDir);
  if (owner && owner.uid !== 0) return owner;
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  if (!user)
    throw new Error(
      'Postgres cannot run as root, and the system has neither a user postgres nor nobody: start as another user, or give DATABASE_URL',
    );
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

/**
 * The words before a command that make it run as that user. A folder above the clone may be closed to others (`/root`,
 * a folder of mktemp). Then the command keeps the one right to pass through it.
 */
export function runAs(
  user: Identity | undefined,
  paths: readonly string[],
): { prefix: string[]; spawnAs: Partial<Identity> } {
  if (!user) return { prefix: [], spawnAs: {} };
  if (paths.every(isReachable)) return { prefix: [], spawnAs: user };
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(isExecutable);
  if (!setpriv)
    throw new Error(
      `Postgres cannot run as root, and ${paths.join(' or ')} is closed to other users: move the clone, start as another user, or give DATABASE_URL`,
    );
  // Postgres calls access(2) about its own file. That ignores such rights without this option.
  const rights = ['--securebits=+no_setuid_fixup', '--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  return { prefix: [setpriv, `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', ...rights], spawnAs: {} };
}

/** Whether everybody may pass through every folder above. */
function isReachable(path: string): boolean {
  const parent = dirname(path);
  if (parent === path) return true;
  return (statSync(parent).mode & 0o001) !== 0 && isReachable(parent);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function ownerOf(path: string): Identity | undefined {
  try {
    const { uid, gid } = statSync(path);
    return { uid, gid };
  } catch {
    return undefined;
  }
}
