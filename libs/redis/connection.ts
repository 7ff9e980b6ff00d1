import { Socket } from 'node:net';
import type { RedisOptions } from 'bullmq';
import { Redis } from 'ioredis';
import { readRedisAddress } from '#libs/contracts/redis-address.js';
import { redisKeys } from './keys.js';
import { CONNECT_MAX_MS, NamedPrimary, primaryOfSlot, reconnectOnError } from './primary.js';
import { atEndOfTurn } from './turn.js';

const RETRY_MAX_MS = 2_000;
/**
 * Longer than any read blocks (BullMQ's at most ten seconds). ioredis reconnects where a command gets no answer for so
 * long. The other end may be gone silently: a node died, or a firewall forgot the connection. TCP notices that after a
 * quarter of an hour, or, on a connection that only listens, after hours.
 */
export const SILENT_MAX_MS = 15_000;
const retryStrategy = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 6), RETRY_MAX_MS);

/**
 * The connection for scripts that move money. ioredis must not repeat unanswered commands after a reconnection, which
 * it does by default and which applied one increment twice (measured with ioredis 5). The scripts are idempotent, and
 * their callers repeat them.
 */
export function moneyConnection(url: string, silentMaxMs = SILENT_MAX_MS): Redis {
  const redis = gatherWrites(
    new Redis({
      ...addressOptions(url),
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: 5_000,
      retryStrategy,
      socketTimeout: silentMaxMs,
      // Where Sentinels tell of a failover, no script runs at the former primary any more, though it may be reachable.
      failoverDetector: true,
    }),
  );
  return leaveSentinels(withoutStaleTimer(redis));
}

/** ioredis 5.11 keeps listening to the Sentinels after `quit`, so that the process would not end. */
function leaveSentinels(redis: Redis): Redis {
  const { connector } = redis as unknown as { connector: { failoverDetector?: { cleanup(): void } | null } };
  return redis.on('end', () => connector.failoverDetector?.cleanup());
}

/**
 * ioredis 5.11 leaves the timer of a closed connection, which then ends the next one (redis/ioredis#2147, mended in 6).
 * BullMQ makes its workers' connections itself, so that those break a second time. ioredis then sends their commands
 * again, as after every break. Where the answer to a job is lost, another worker takes the job when its lock has run
 * out.
 */
function withoutStaleTimer(redis: Redis): Redis {
  const timed = redis as unknown as { socketTimeoutTimer: NodeJS.Timeout | undefined };
  return redis.on('close', () => {
    clearTimeout(timed.socketTimeoutTimer);
    timed.socketTimeoutTimer = undefined;
  });
}

/** All commands of one tick leave in one write, rather than in a system call each. */
function gatherWrites(redis: Redis): Redis {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, stream) => {
    const socket: unknown = (redis as unknown as { stream?: unknown }).stream;
    if (redis.status === 'ready' && socket instanceof Socket && socket.writableCorked === 0) {
      socket.cork();
      // After the microtasks of that end, too: BullMQ sends its commands from them.
      atEndOfTurn(() => queueMicrotask(() => process.nextTick(() => socket.uncork())));
    }
    return send(command, stream);
  };
  return redis;
}

/** A connection for blocking reads alone, so that no other command waits behind them. */
export function blockingConnection(url: string, silentMaxMs = SILENT_MAX_MS): Redis {
  return withoutStaleTimer(
    new Redis({ ...addressOptions(url), maxRetriesPerRequest: null, retryStrategy, socketTimeout: silentMaxMs }),
  );
}

/**
 * Where the primary is, and how to find it again after a failover. In a cluster that is the node with the slot of
 * `key`. @throws where nobody can understand the URL
 */
export function addressOptions(url: string, key: string = redisKeys.epoch): RedisOptions {
  const address = readRedisAddress(url);
  const { kind, username, password } = address;
  const tls = address.tls ? { tls: {} } : {};
  const access = { ...(username ? { username } : {}), ...(password ? { password } : {}) };
  const common = {
    ...access,
    ...tls,
    ...('db' in address && address.db > 0 ? { db: address.db } : {}),
    reconnectOnError,
    // A replica that loads its primary's data is not what a connection should wait for.
    maxLoadingRetryTime: 1_000,
  };
  switch (kind) {
    case 'socket':
      return { ...common, path: address.path };
    case 'server':
      return { ...common, host: address.host, port: address.port, Connector: NamedPrimary };
    case 'cluster':
      return { ...common, connectTimeout: CONNECT_MAX_MS, Connector: primaryOfSlot(address.nodes, key) };
    case 'sentinel':
      return {
        ...common,
        sentinels: address.nodes,
        name: address.name,
        ...(address.sentinelUsername ? { sentinelUsername: address.sentinelUsername } : {}),
        ...(address.sentinelPassword ? { sentinelPassword: address.sentinelPassword } : {}),
        ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
        connectTimeout: CONNECT_MAX_MS,
        sentinelCommandTimeout: CONNECT_MAX_MS,
      };
  }
}

/** Options for BullMQ's workers, which need unlimited retries for blocking reads. */
export function workerConnectionOptions(url: string, silentMaxMs = SILENT_MAX_MS): RedisOptions {
  return {
    ...addressOptions(url),
    maxRetriesPerRequest: null,
    retryStrategy,
    socketTimeout: silentMaxMs,
  };
}

/**
 * Options for BullMQ's queues. An enqueue fails at once while Redis is away, so that the visitor gets an error early.
 */
export function queueConnectionOptions(url: string): RedisOptions {
  return { ...workerConnectionOptions(url), maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 5_000 };
}

/** Resolves once the connection is ready. @throws when Redis does not answer within the time, with the last error */
export async function whenReady(redis: Redis, timeoutMs = 10_000): Promise<void> {
  if (redis.status === 'ready') return;
  let last: Error | undefined;
  const keep = (error: Error): void => void (last = error);
  redis.on('error', keep);
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        const why = last === undefined ? '' : `: ${last.message}`;
        reject(new Error(`Redis did not answer within ${timeoutMs} ms${why}`, { cause: last }));
      }, timeoutMs);
      redis.once('ready', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  } finally {
    redis.off('error', keep);
  }
}

/** Refuses a Redis that could forget a hold, because it evicts data or is read-only. @throws with what to change */
export async function assertKeepsData(redis: Redis): Promise<void> {
  const info = await redis.info();
  const policy = /^maxmemory_policy:(.*)$/m.exec(info)?.[1]?.trim();
  if (policy !== 'noeviction')
    throw new Error(`Redis evicts data (maxmemory-policy ${policy ?? 'unknown'}): set maxmemory-policy to noeviction`);
  const role = /^role:(.*)$/m.exec(info)?.[1]?.trim();
  if (role !== 'master') throw new Error(`Redis is read-only (role ${role ?? 'unknown'}): connect to the primary`);
}

/** Whether data survives a restart of Redis: it appends to a file, and its last write to it succeeded. */
export async function isKeptOnDisk(redis: Redis): Promise<boolean> {
  const info = await redis.info('persistence');
  return /^aof_enabled:1\r?$/m.test(info) && /^aof_last_write_status:ok\r?$/m.test(info);
}

/** What Redis counts towards its `maxmemory`, and that setting; 0: it has no limit. */
export async function memoryUse(redis: Redis): Promise<{ usedBytes: number; maxBytes: number }> {
  const info = await redis.info('memory');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:(\\d+)\\r?$`, 'm').exec(info)?.[1] ?? 0);
  return { usedBytes: bytes('used_memory') - bytes('mem_not_counted_for_evict'), maxBytes: bytes('maxmemory') };
}
