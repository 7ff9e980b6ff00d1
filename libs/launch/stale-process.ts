import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const END_WAIT_MS = 10_000;

/**
 * Ends the store that wrote this pid file, if it still runs, then removes the file. The file stays after kill -9 or a
 * power cut. Its number may then belong to another process, so that this touches only a process of that name.
 */
export async function endStale(pidFile: string, name: string, signal: NodeJS.Signals): Promise<void> {
  const pid = readPid(pidFile);
  if (pid === undefined) return;
  for (let waitedMs = 0; waitedMs < END_WAIT_MS && isNamed(pid, name); waitedMs += 100) {
    if (waitedMs === 0) process.kill(pid, signal);
    await sleep(100);
  }
  if (isNamed(pid, name)) process.kill(pid, 'SIGKILL');
  rmSync(pidFile, { force: true });
}

/** The number in the first line of a pid file; undefined when there is none. */
export function readPid(pidFile: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process with this number runs now and its command line holds the text. */
export function isNamed(pid: number, text: string): boolean {
  return commandLine(pid).includes(text);
}

/** From /proc where there is one: small systems have no `ps`. Empty when the process has ended. */
function commandLine(pid: number): string {
  try {
    if (existsSync('/proc/self/cmdline')) return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return execFileSync('ps', ['-p', String(pid), '-o', 'args='], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return '';
  }
}
