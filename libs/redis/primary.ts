import { createConnection } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import type { RedisNode } from '#libs/contracts/redis-address.js';

type Tell = Parameters<AbstractConnector['connect']>[0];
type Stream = Awaited<ReturnType<AbstractConnector['connect']>>;

/** A server that is down without a word costs so long, before the next one is asked. */
export const CONNECT_MAX_MS = 3_000;
const PAUSE_MS = 500;
/**
 * What a server answers that has become a replica, or that has no longer the slot: every connection to it is made anew,
 * so that it finds the primary. Nothing was done.
 */
const ELSEWHERE = /^(READONLY|UNBLOCKED|MASTERDOWN|LOADING|MOVED|CLUSTERDOWN) /;

/** ioredis asks this after each error. It fails the command, which its caller repeats. */
export const reconnectOnError = (error: Error): boolean => ELSEWHERE.test(error.message);

/** Connects to what a name stands for now, and stays only where that takes writes. */
abstract class ToPrimary extends AbstractConnector {
  private tell: Tell | undefined;

  constructor(protected readonly options: RedisOptions) {
    super(options.disconnectTimeout ?? 2_000);
  }

  /** Called before a connection is used. A proxy may hide the role. */
  override check({ role }: { role?: string }): boolean {
    if (role === undefined || role === 'master') return true;
    this.tell?.('error', new Error(`Redis is read-only (role ${role}): connect to the primary`));
    return false;
  }

  override async connect(tell: Tell): Promise<Stream> {
    this.tell = tell;
    this.connecting = true;
    const node = await this.find(tell);
    if (!this.connecting) throw new Error('Connection is closed.');
    // A name is resolved here, with each new connection.
    this.stream = this.options.tls
      ? connectTls({ ...node, ...this.options.tls })
      : createConnection({ ...node, noDelay: true });
    this.stream.once('error', (error) => (this.firstError = error));
    return this.stream;
  }

  protected abstract find(tell: Tell): Promise<RedisNode>;
}

/** The primary of a pair that moves behind one name: a DNS name, or a proxy. */
export class NamedPrimary extends ToPrimary {
  protected override find(): Promise<RedisNode> {
    return Promise.resolve({ host: this.options.host!, port: this.options.port! });
  }
}

/**
 * For a cluster: makes each connection go to the node that has this key's slot. All keys of an account are in one slot,
 * so that scripts, queues and blocking reads need no other node. After a failover or a move of the slot, any node of
 * the list tells where it is.
 */
export function primaryOfSlot(nodes: readonly RedisNode[], key: string): NonNullable<RedisOptions['Connector']> {
  return class extends ToPrimary {
    constructor(options: unknown) {
      super(options as RedisOptions);
    }

    protected override async find(tell: Tell): Promise<RedisNode> {
      for (let at = 0; ; at++) {
        const node = nodes[at % nodes.length]!;
        try {
          return await askWhere(key, node, this.options);
        } catch (error) {
          tell('error', new Error(`${node.host}:${node.port} did not tell which node has ${key}`, { cause: error }));
        }
        if (!this.connecting) throw new Error('Connection is closed.');
        await sleep(PAUSE_MS);
      }
    }
  };
}

async function askWhere(key: string, node: RedisNode, { username, password, tls }: RedisOptions): Promise<RedisNode> {
  const redis = new Redis({
    ...node,
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...(tls ? { tls } : {}),
    connectTimeout: CONNECT_MAX_MS,
    commandTimeout: CONNECT_MAX_MS,
    enableReadyCheck: false,
    retryStrategy: null,
  });
  redis.on('error', () => undefined);
  try {
    const slot = (await redis.call('CLUSTER', 'KEYSLOT', key)) as number;
    const ranges = (await redis.call('CLUSTER', 'SLOTS')) as [number, number, [string | null, number]][];
    const range = ranges.find(([first, last]) => first <= slot && slot <= last);
    if (range === undefined) throw new Error(`no node has slot ${slot}`);
    const [host, port] = range[2];
    // A node that does not know its own name tells none.
    return { host: host === null || host === '' || host === '?' ? node.host : host, port };
  } finally {
    redis.disconnect();
  }
}
