import { createWriteStream, existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';

/** Appends lines to `<name>.log`. The log of the last start becomes `<name>.log.1`. */
export function openStoreLog(logDir: string, name: string): (line: string) => void {
  mkdirSync(logDir, { recursive: true });
  const file = join(logDir, `${name}.log`);
  if (existsSync(file)) renameSync(file, `${file}.1`);
  const stream = createWriteStream(file, { mode: 0o600 });
  return (line) => void stream.write(`${line}\n`);
}
