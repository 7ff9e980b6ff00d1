import { readFileSync, statSync } from 'node:fs';

/** Far more than any of them has. */
const FILE_MAX_BYTES = 65_536;
/** Variables that a file may hold: `DAYPASS_SECRET_FILE` names the file of `DAYPASS_SECRET`. */
const IN_FILES = ['OPENAI_API_KEY', 'DAYPASS_SECRET', 'DAYPASS_ADMIN_TOKEN', 'REDIS_URL', 'DATABASE_URL'] as const;

/** Takes from its file each secret that the environment lacks, and adds what is wrong to `faults`. */
export function withSecretFiles(
  given: Readonly<Record<string, string | undefined>>,
  faults: string[],
): Record<string, string | undefined> {
  const all = { ...given };
  for (const name of IN_FILES) {
    const path = given[`${name}_FILE`];
    if (given[name] !== undefined || path === undefined) continue;
    const text = contentOf(path, (problem) => faults.push(`${name}_FILE (${path}): ${problem}`));
    if (text !== undefined) all[name] = text;
  }
  return all;
}

/** Its text without the line's end. A fault never shows it. */
function contentOf(path: string, fault: (problem: string) => void): string | undefined {
  try {
    if (statSync(path).size > FILE_MAX_BYTES) {
      fault(`has more than ${FILE_MAX_BYTES} bytes, so that it is no secret`);
      return undefined;
    }
    const text = readFileSync(path, 'utf8').trim();
    if (text !== '') return text;
    fault('is empty');
  } catch (error) {
    fault(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return undefined;
}
