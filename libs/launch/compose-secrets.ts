import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folders are volumes: a container mounts those alone whose secrets it needs (docker-compose.yml). */
const HOMES = {
  DAYPASS_SECRET: 'services',
  DAYPASS_REDIS_PASSWORD: 'redis',
  DAYPASS_POSTGRES_PASSWORD: 'postgres',
  DAYPASS_ADMIN_TOKEN: 'accounting',
} as const;
type Name = keyof typeof HOMES;
/** Its owner and its group read it: Redis runs as another user, and has this group. Nobody writes. */
const MODE = 0o440;

export type KeptSecrets = Record<Name, 'as .env says' | 'kept' | 'made'>;

/**
 * Keeps what the services of docker compose need without an `.env`. What `.env` names wins, and stays here: it is still
 * the secret should `.env` be lost, because with another one no virtual key works.
 */
export function keepComposeSecrets(folder: string, env: NodeJS.ProcessEnv): KeptSecrets {
  const kept = {} as KeptSecrets;
  const values = {} as Record<Name, string>;
  for (const name of Object.keys(HOMES) as Name[]) {
    const path = join(folder, HOMES[name], name);
    const [given, former] = [env[name]?.trim() || undefined, contentOf(path)];
    kept[name] = given ? 'as .env says' : former ? 'kept' : 'made';
    values[name] = given ?? former ?? randomBytes(32).toString('hex');
    write(path, values[name]);
  }
  write(join(folder, 'services', 'REDIS_URL'), `redis://:${values.DAYPASS_REDIS_PASSWORD}@redis:6379`);
  write(
    join(folder, 'accounting', 'DATABASE_URL'),
    `postgres://daypass:${values.DAYPASS_POSTGRES_PASSWORD}@postgres:5432/daypass`,
  );
  return kept;
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** In one step: whoever reads meanwhile finds the former file or the new one. */
function write(path: string, text: string): void {
  if (contentOf(path) === text) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, `${text}\n`, { mode: MODE });
  renameSync(`${path}.new`, path);
}
