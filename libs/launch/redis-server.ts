import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
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
  /** The server outlives this process by this long, for services that still need it while they end. */
  orphanSeconds?: number;
  onLine?: (line: string) => void;
}

export interface RedisServer {
  url: string;
  /** The socket file beside its data, for processes of this machine. */
  localUrl: string;
  process: SupervisedProcess;
  stop(): Promise<void>;
}

/** A Redis on loopback. It never evicts: a lost key could be a lost hold. */
export async function startRedisServer({
  dataDir,
  fsync = 'everysec',
  port,
  orphanSeconds,
  onLine,
}: RedisServerOptions = {}): Promise<RedisServer> {
  const listenPort = port ?? (await freePort());
  const args = [
    '--bind',
    '127.0.0.1',
    '--port',
    String(listenPort),
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
    '--daemonize',
    'no',
  ];
  const url = `redis://127.0.0.1:${listenPort}`;
  let localUrl = url;
  if (dataDir === undefined) {
    args.push('--appendonly', 'no');
  } else {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    // Two Redis processes would spoil one append-only file.
    await endStale(join(dataDir, 'redis.pid'), 'server', 'SIGTERM');
    args.push('--appendonly', 'yes', '--appendfsync', fsync, '--dir', dataDir, '--pidfile', join(dataDir, 'redis.pid'));
    const socket = resolve(dataDir, 'redis.sock');
    if (await takesSocket(socket)) {
      args.push('--unixsocket', socket, '--unixsocketperm', '700');
      localUrl = `unix://${encodeURI(socket).replaceAll('?', '%3F').replaceAll('#', '%23')}`;
    }
  }
  const process = await SupervisedProcess.start({
    name: 'Redis',
    command: [findRedis(), ...args],
    readyText: 'Ready to accept connections',
    readyTimeoutMs: 30_000,
    endSignal: 'TERM',
    endTimeoutMs: 10_000,
    orphanSeconds: orphanSeconds ?? 0,
    ...(onLine ? { onLine } : {}),
  });
  return { url, localUrl, process, stop: () => process.stop() };
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

/** @throws when neither Redis nor Valkey is on the path */
function findRedis(): string {
  for (const name of NAMES) {
    try {
      return execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      continue;
    }
  }
  throw new Error(`found neither ${NAMES.join(' nor ')}: install Redis 7 or later, or give REDIS_URL`);
}
