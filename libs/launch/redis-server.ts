import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { freePort } from './free-port.js';
import { endStale } from './stale-process.js';
import { SupervisedProcess } from './supervised-process.js';

const NAMES = ['redis-server', 'valkey-server'];
/** Linux takes 107 bytes as the path of a socket; macOS takes 103. */
const SOCKET_PATH_MAX_BYTES = 103;

/** `everysec`: a power cut may lose the last second. `always`: each script waits for the disk. */
export type RedisFsync = 'everysec' | 'always';

export interface RedisServerOptions {
  /** The folder of the append-only file. Without it Redis keeps nothing. */
  dataDir?: string;
  fsync?: RedisFsync;
  /** Without it the server takes a free port. */
  port?: number;
  /**
   * Only this user and root reach it: it listens on its socket file and on no port. Where it cannot make a socket file,
   * it has a password. Needs `dataDir`.
   */
  ownerOnly?: boolean;
  /** As Redis writes it: `700mb`. Above it Redis refuses new data. Without it nothing bounds its memory. */
  maxMemory?: string;
  /** The server outlives this process by this long, for services that still need it while they end. */
  orphanSeconds?: number;
  /** Further settings, as on its command line: `['--replicaof', '127.0.0.1', '6379']`. */
  more?: readonly string[];
  onLine?: (line: string) => void;
}

export interface RedisServer {
  /** With the password, where it has one. */
  url: string;
  /** The socket file beside its data, for processes of this machine. */
  localUrl: string;
  process: SupervisedProcess;
  stop(): Promise<void>;
}

/** A Redis of this machine. It never evicts: a lost key could be a lost hold. */
export async function startRedisServer({
  dataDir,
  fsync = 'everysec',
  port,
  ownerOnly = false,
  maxMemory,
  orphanSeconds,
  more = [],
  onLine,
}: RedisServerOptions = {}): Promise<RedisServer> {
  const socket = dataDir === undefined ? undefined : await socketIn(dataDir);
  const byPort = !ownerOnly || socket === undefined;
  const password = ownerOnly && byPort ? randomBytes(24).toString('base64url') : undefined;
  const listenPort = byPort ? (port ?? (await freePort())) : 0;
  const portUrl = `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${listenPort}`;
  const localUrl = socket === undefined ? portUrl : urlOf(socket);
  const args = [
    // Everybody on the machine reads a command line, but only its owner reads this file.
    ...(password === undefined ? [] : [fileOf(dataDir!, `requirepass ${password}`)]),
    ...['--bind', '127.0.0.1', '--port', String(listenPort)],
    ...(socket === undefined ? [] : ['--unixsocket', socket, '--unixsocketperm', '700']),
    ...['--save', '', '--maxmemory-policy', 'noeviction', '--daemonize', 'no'],
    ...(maxMemory === undefined ? [] : ['--maxmemory', maxMemory]),
    ...(dataDir === undefined
      ? ['--appendonly', 'no']
      : ['--appendonly', 'yes', '--appendfsync', fsync, '--dir', dataDir, '--pidfile', join(dataDir, 'redis.pid')]),
    ...more,
  ];
  const process = await SupervisedProcess.start({
    name: 'Redis',
    command: [findRedis(), ...args],
    // `Ready to …`, or for a socket file before Redis 7.2: `The server is now ready to …`.
    readyText: 'eady to accept connections',
    readyTimeoutMs: 30_000,
    endSignal: 'TERM',
    endTimeoutMs: 10_000,
    orphanSeconds: orphanSeconds ?? 0,
    ...(onLine ? { onLine } : {}),
  });
  return { url: byPort ? portUrl : localUrl, localUrl, process, stop: () => process.stop() };
}

/** Makes the folder ready. @returns the path of its socket file, undefined where it can have none */
async function socketIn(dataDir: string): Promise<string | undefined> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  // An older folder may be open. Redis makes its socket first and closes it then: in between, only the folder does.
  chmodSync(dataDir, 0o700);
  // Two Redis processes would spoil one append-only file.
  await endStale(join(dataDir, 'redis.pid'), 'server', 'SIGTERM');
  const socket = resolve(dataDir, 'redis.sock');
  return (await takesSocket(socket)) ? socket : undefined;
}

function urlOf(socket: string): string {
  return `unix://${encodeURI(socket).replaceAll('?', '%3F').replaceAll('#', '%23')}`;
}

/** @returns the path of a config file with this line */
function fileOf(dataDir: string, line: string): string {
  const file = join(dataDir, 'redis.conf');
  rmSync(file, { force: true });
  writeFileSync(file, `${line}\n`, { mode: 0o600 });
  return file;
}

/**
 * Some file systems have no sockets (shared folders of virtual machines). Redis fails to start if it cannot make its
 * socket.
 */
async function takesSocket(path: string): Promise<boolean> {
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES) return false;
  rmSync(path, { force: true });
  const server = createServer();
  try {
    server.listen(path);
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** The Redis or Valkey that tests run with, where several are on the path. */
const TEST_SERVER = process.env.DAYPASS_TEST_REDIS_SERVER;

/** @throws when neither Redis nor Valkey is on the path */
export function findRedis(): string {
  for (const name of TEST_SERVER ? [TEST_SERVER] : NAMES) {
    try {
      return execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      continue;
    }
  }
  if (TEST_SERVER) throw new Error('found no server of the name that DAYPASS_TEST_REDIS_SERVER gives');
  throw new Error(`found neither ${NAMES.join(' nor ')}: install Redis 7 or later, or give REDIS_URL`);
}
