import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LaunchError } from './settings.js';
import { isNamed, readPid } from './stale-process.js';

/**
 * One launcher per data folder: two Redis processes would spoil one append-only file. @throws LaunchError when another
 * runs
 */
export function lockDataDir(dataDir: string): () => void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = join(dataDir, 'launcher.pid');
  const other = readPid(file);
  if (other !== undefined && other !== process.pid && isNamed(other, 'libs/launch/launch.js')) {
    throw new LaunchError(
      `Daypass already runs on ${dataDir} (process ${other}): stop it, or set DAYPASS_DATA_DIR to another folder`,
    );
  }
  writeFileSync(file, `${process.pid}\n`);
  return () => rmSync(file, { force: true });
}
