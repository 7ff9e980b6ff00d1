import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '#libs/launch/free-port.js';
import { findRedis, startRedisServer, type RedisServer } from '#libs/launch/redis-server.js';
import { SupervisedProcess } from '#libs/launch/supervised-process.js';
import { FaultProxy } from './fault-proxy.js';
import { openFolder } from './stores.js';
import { until } from './until.js';

/** A busy machine may leave a server alone for a while; a failover in between would be no harm. */
const DOWN_AFTER_MS = 3_000;
const PRIMARY_NAME = 'daypass';
/** The replica signs in with it, so that the primary can refuse it without a word to the Sentinels. */
const REPLICA_USER = 'replica';
const PASSWORD = 'throw-away';
const SENTINELS = 3;
const NODES = 3;
const SLOTS = 16_384;

/** A server of a group. */
export interface Member {
  port: number;
  /** Straight to it. */
  redis: Redis;
  kill(): Promise<void>;
  /** Starts it again with the data that its files have. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The primary, its replica, and the address under which the services find whichever of the two is the primary. */
export interface RedisPair {
  redisUrl: string;
  primary: Member;
  replica: Member;
  /** The replica hears nothing more from the primary. It keeps what it has. */
  cutReplication(): Promise<void>;
  stop(): Promise<void>;
}

async function startMember(folder: string, name: string, more: readonly string[] = []): Promise<Member> {
  const port = await freePort();
  const start = (): Promise<RedisServer> => startRedisServer({ dataDir: join(folder, name), port, more });
  let server = await start();
  const redis = new Redis(port, '127.0.0.1', { retryStrategy: () => 100, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  return {
    port,
    redis,
    kill: () => server.process.kill(),
    start: async () => {
      server = await start();
    },
    stop: async () => {
      redis.disconnect();
      await server.stop();
    },
  };
}

async function startPair(folder: string): Promise<Omit<RedisPair, 'redisUrl'>> {
  const asReplica = ['--masteruser', REPLICA_USER, '--masterauth', PASSWORD, '--repl-diskless-sync-delay', '0'];
  const user = ['--user', REPLICA_USER, 'on', `>${PASSWORD}`, 'allcommands', 'allchannels', 'allkeys'];
  const primary = await startMember(folder, 'primary', [...asReplica, ...user]);
  const follow = ['--replicaof', '127.0.0.1', String(primary.port)];
  const replica = await startMember(folder, 'replica', [...asReplica, ...user, ...follow]);
  await until('the replica follows', async () => /master_link_status:up/.test(await replica.redis.info('replication')));
  return {
    primary,
    replica,
    cutReplication: async () => {
      await primary.redis.call('ACL', 'SETUSER', REPLICA_USER, 'off');
      await primary.redis.call('CLIENT', 'KILL', 'TYPE', 'replica');
      await until('replication is cut', async () =>
        /master_link_status:down/.test(await replica.redis.info('replication')),
      );
    },
    stop: async () => {
      await Promise.all([primary.stop(), replica.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A primary, its replica, and three Sentinels that promote the replica when the primary is gone. */
export async function startSentinelPair(): Promise<RedisPair> {
  const folder = openFolder('daypass-sentinel-');
  const pair = await startPair(folder);
  const ports = await Promise.all(Array.from({ length: SENTINELS }, freePort));
  const sentinels = await Promise.all(ports.map((port) => startSentinel(folder, port, pair.primary.port)));
  const asked = ports.map((port) => new Redis(port, '127.0.0.1', { enableReadyCheck: false }));
  await until('each Sentinel knows the others and the replica', async () => {
    const told = await Promise.all(
      asked.map((redis) => redis.call('SENTINEL', 'MASTER', PRIMARY_NAME) as Promise<string[]>),
    );
    return told.every((of) => fieldOf(of, 'num-other-sentinels') === '2' && fieldOf(of, 'num-slaves') === '1');
  });
  for (const redis of asked) redis.disconnect();
  return {
    ...pair,
    redisUrl: `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/${PRIMARY_NAME}`,
    stop: async () => {
      await Promise.all(sentinels.map((sentinel) => sentinel.stop()));
      await pair.stop();
    },
  };
}

async function startSentinel(folder: string, port: number, primaryPort: number): Promise<SupervisedProcess> {
  // A Sentinel writes into its own file.
  const file = join(folder, `sentinel-${port}.conf`);
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    'protected-mode no',
    `dir ${folder}`,
    `sentinel monitor ${PRIMARY_NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${PRIMARY_NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${PRIMARY_NAME} 10000`,
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  return SupervisedProcess.start({
    name: 'Sentinel',
    command: [findRedis(), file, '--sentinel'],
    readyText: 'Sentinel ID is',
    readyTimeoutMs: 30_000,
    endSignal: 'TERM',
    endTimeoutMs: 10_000,
  });
}

const fieldOf = (list: readonly string[], name: string): string | undefined => list[list.indexOf(name) + 1];

/** A primary and its replica behind one name, which moves to the replica. */
export async function startNamedPair(): Promise<RedisPair & { name: FaultProxy }> {
  const pair = await startPair(openFolder('daypass-pair-'));
  const name = await FaultProxy.start(pair.primary.port);
  return {
    ...pair,
    name,
    redisUrl: `redis://127.0.0.1:${name.port}`,
    stop: async () => {
      await name.stop();
      await pair.stop();
    },
  };
}

export interface RedisCluster {
  redisUrl: string;
  nodes: readonly Member[];
  /** The node that has this key's slot. */
  nodeOf(key: string): Promise<Member>;
  stop(): Promise<void>;
}

/** Three primaries. The others go on where one is down. */
export async function startCluster(): Promise<RedisCluster> {
  const folder = openFolder('daypass-cluster-');
  const busPorts = await Promise.all(Array.from({ length: NODES }, freePort));
  const nodes = await Promise.all(
    busPorts.map((busPort, index) =>
      startMember(folder, `node-${index}`, [
        ...['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no', '--cluster-port', String(busPort)],
        // So long a node may be silent before the others take it for gone.
        ...['--cluster-node-timeout', '5000'],
      ]),
    ),
  );
  const firstOf = (index: number): number => Math.ceil((index * SLOTS) / NODES);
  await Promise.all(
    nodes.map(async ({ redis }, index) => {
      await redis.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
      await redis.call('CLUSTER', 'ADDSLOTSRANGE', firstOf(index), firstOf(index + 1) - 1);
    }),
  );
  for (const [index, { port }] of nodes.entries())
    await nodes[0]!.redis.call('CLUSTER', 'MEET', '127.0.0.1', port, busPorts[index]!);
  await until('each node knows all of them', async () => {
    const told = await Promise.all(nodes.map(({ redis }) => redis.call('CLUSTER', 'INFO') as Promise<string>));
    return told.every((of) => /cluster_state:ok/.test(of) && /cluster_size:3/.test(of));
  });
  return {
    redisUrl: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    nodeOf: async (key) => {
      const slot = (await nodes[0]!.redis.call('CLUSTER', 'KEYSLOT', key)) as number;
      return nodes[nodes.findIndex((_, index) => slot < firstOf(index + 1))]!;
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
