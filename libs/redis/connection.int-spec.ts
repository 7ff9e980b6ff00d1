import { connect as dial, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { freePort } from '#libs/launch/free-port.js';
import { startRedisServer } from '#libs/launch/redis-server.js';
import { FaultProxy } from '#libs/testing/fault-proxy.js';
import { startCluster, startNamedPair, startSentinelPair } from '#libs/testing/redis-groups.js';
import { until } from '#libs/testing/until.js';
import {
  assertKeepsData,
  blockingConnection,
  moneyConnection,
  whenReady,
  workerConnectionOptions,
} from './connection.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from './keys.js';
import { defineScript } from './scripts.js';
import { TickBatch } from './tick-batch.js';

const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

let money: Money;
const opened: Redis[] = [];
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
afterEach(() => {
  for (const redis of opened.splice(0)) redis.disconnect();
});

function connect(url: string): Redis {
  const redis = moneyConnection(url);
  redis.on('error', () => undefined);
  opened.push(redis);
  return redis;
}

/** Stands before Redis and can lose an answer: the command runs, and its connection breaks before anyone hears. */
async function losingProxy(
  url: string,
): Promise<{ url: string; loseNextAnswer: () => void; close: () => Promise<void> }> {
  let lose = false;
  const sockets = new Set<Socket>();
  const server = createServer((visitor) => {
    const redis = dial(Number(new URL(url).port), '127.0.0.1');
    for (const socket of [visitor, redis]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    visitor.pipe(redis);
    redis.on('data', (answer) => {
      if (lose) {
        lose = false;
        visitor.destroy();
        redis.destroy();
      } else visitor.write(answer);
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `redis://127.0.0.1:${port}`,
    loseNextAnswer: () => (lose = true),
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

describe('a Redis that money may be kept in', () => {
  it('keeps everything and takes writes', async () => {
    await expect(assertKeepsData(money.redis)).resolves.toBeUndefined();
  });

  it('is refused when it may evict, with what to change', async () => {
    await money.redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await expect(assertKeepsData(money.redis)).rejects.toThrow(/allkeys-lru.*set maxmemory-policy to noeviction/);
    await money.redis.config('SET', 'maxmemory-policy', 'noeviction');
  });

  it('is refused when it is a replica', async () => {
    await money.redis.replicaof('127.0.0.1', await freePort());
    await expect(assertKeepsData(money.redis)).rejects.toThrow(/read-only/);
    await money.redis.replicaof('NO', 'ONE');
  });
});

describe('the money connection', () => {
  it('is waited for no longer than is said', async () => {
    const redis = connect(`redis://127.0.0.1:${await freePort()}`);
    await expect(whenReady(redis, 200)).rejects.toThrow('Redis did not answer within 200 ms');
  });

  it('is ready at once when it is ready already', async () => {
    await expect(whenReady(money.redis, 1)).resolves.toBeUndefined();
  });

  it('fails a command at once while Redis is away, instead of keeping it for later', async () => {
    const redis = connect(`redis://127.0.0.1:${await freePort()}`);
    await expect(redis.incr('later')).rejects.toThrow();
  });

  it('never sends an unanswered command a second time, as ioredis does by default', async () => {
    const stored = async (client: Redis, proxy: Awaited<ReturnType<typeof losingProxy>>) => {
      client.on('error', () => undefined);
      opened.push(client);
      await whenReady(client);
      await money.redis.del('times');
      proxy.loseNextAnswer();
      await client.incrby('times', 100).catch(() => undefined);
      await whenReady(client);
      await client.ping();
      await proxy.close();
      return money.redis.get('times');
    };
    const [first, second] = [await losingProxy(money.url), await losingProxy(money.url)];
    expect(await stored(new Redis(first.url), first)).toBe('200');
    expect(await stored(moneyConnection(second.url), second)).toBe('100');
  });

  it('comes back by itself with its scripts, when Redis has restarted with nothing', async () => {
    const port = await freePort();
    const first = await startRedisServer({ port });
    const redis = connect(first.url);
    await whenReady(redis);
    await first.stop();
    const second = await startRedisServer({ port });
    await whenReady(redis);
    expect(await redis.ping()).toBe('PONG');
    await second.stop();
  });
});

describe('a primary that moves', () => {
  const portOf = async (redis: Redis): Promise<number> =>
    Number(/^tcp_port:(\d+)/m.exec(await redis.info('server'))![1]);
  const succeeds = (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => true,
      () => false,
    );
  /** All kinds of connections: of scripts, of blocking reads, and of BullMQ. */
  const all = (url: string): Redis[] => {
    const made = [connect(url), blockingConnection(url), new Redis(workerConnectionOptions(url))];
    for (const redis of made) redis.on('error', () => undefined);
    opened.push(...made);
    return made;
  };

  it('behind one name is found again by who writes, reads or waits', async () => {
    const pair = await startNamedPair();
    const [writing, waiting, ofQueue] = all(pair.redisUrl) as [Redis, Redis, Redis];
    await Promise.all([writing, waiting, ofQueue].map((redis) => whenReady(redis)));
    const script = defineScript(writing, 'record-event');
    const record = (): Promise<unknown> => script([redisKeys.audit, redisKeys.auditBytes], ['{"id":"a"}', '']);
    await record();
    const read = waiting.xread('BLOCK', 60_000, 'STREAMS', 'nothing', '$').catch((error: Error) => error.message);
    await pair.primary.redis.ping();
    await pair.replica.redis.replicaof('NO', 'ONE');
    pair.name.retarget(pair.replica.port);
    await pair.primary.redis.replicaof('127.0.0.1', pair.replica.port);
    const wrote = await Promise.allSettled([record(), ofQueue.set('x', 'y')]);
    expect(wrote.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await read).toMatch(/^UNBLOCKED/);
    await until('scripts run again', () => succeeds(record()));
    expect(await Promise.all([writing, waiting, ofQueue].map(portOf))).toEqual(Array(3).fill(pair.replica.port));
    await pair.stop();
  });

  it('under Sentinels is the one that they name, and nobody listens to them after its connection was ended', async () => {
    const pair = await startSentinelPair();
    const sentinel = new Redis(Number(/:(\d+),/.exec(pair.redisUrl)![1]), '127.0.0.1', { enableReadyCheck: false });
    opened.push(sentinel);
    const listeners = async (): Promise<number> =>
      String(await sentinel.call('CLIENT', 'LIST')).match(/ sub=1 /g)?.length ?? 0;
    const before = await listeners();
    const redis = connect(pair.redisUrl);
    await whenReady(redis);
    expect(await portOf(redis)).toBe(pair.primary.port);
    await until('it hears of a failover', async () => (await listeners()) === before + 1);
    await redis.quit();
    await until('it hears no more', async () => (await listeners()) === before);
    await pair.stop();
  });

  it('is told apart from a replica before anything is sent to it', async () => {
    const pair = await startNamedPair();
    pair.name.retarget(pair.replica.port);
    const redis = connect(pair.redisUrl);
    await expect(whenReady(redis, 1_000)).rejects.toThrow(/1000 ms: Redis is read-only \(role slave\)/);
    pair.name.retarget(pair.primary.port);
    await whenReady(redis);
    expect(await portOf(redis)).toBe(pair.primary.port);
    await pair.stop();
  });

  it('is the node of a cluster that has the slot of the money, also after the slot has moved', async () => {
    const cluster = await startCluster();
    const from = await cluster.nodeOf(redisKeys.epoch);
    const to = cluster.nodes.find((node) => node !== from)!;
    const connections = all(cluster.redisUrl);
    await Promise.all(connections.map((redis) => whenReady(redis)));
    expect(await Promise.all(connections.map(portOf))).toEqual(Array(3).fill(from.port));
    const [money] = connections as [Redis];
    const script = defineScript(money, 'record-event');
    const record = (): Promise<unknown> => script([redisKeys.audit, redisKeys.auditBytes], ['{"id":"a"}', '']);
    await record();
    await from.redis.del(redisKeys.audit, redisKeys.auditBytes);
    const slot = await money.call('CLUSTER', 'KEYSLOT', redisKeys.epoch);
    const id = (await to.redis.call('CLUSTER', 'MYID')) as string;
    for (const { redis } of [to, ...cluster.nodes.filter((node) => node !== to)])
      await redis.call('CLUSTER', 'SETSLOT', slot as number, 'NODE', id);
    await expect(record()).rejects.toThrow('MOVED');
    await until('scripts run again', () => succeeds(record()));
    expect(await portOf(money)).toBe(to.port);
    await cluster.stop();
  });
});

describe('a connection whose other end is gone without a word', () => {
  /** A tenth of what the services are set to, which is the next test's business. */
  const SILENT_MS = 1_500;
  /** Shorter than that, as everywhere. */
  const BLOCK_MS = 1_000;

  /** How often it was ready again after it was cut while it was asked, and what it answers then, and after its other end is gone. */
  async function broken(made: (url: string, silentMaxMs: number) => Redis): Promise<unknown[]> {
    const proxy = await FaultProxy.start(Number(new URL(money.url).port));
    const redis = made(`redis://127.0.0.1:${proxy.port}`, SILENT_MS);
    redis.on('error', () => undefined);
    opened.push(redis);
    await whenReady(redis);
    const asked = redis.xread('BLOCK', BLOCK_MS, 'STREAMS', 'nothing', '$').catch(() => null);
    await sleep(50);
    let readyAfterCut = 0;
    redis.on('ready', () => readyAfterCut++);
    proxy.cut();
    await asked;
    await whenReady(redis);
    // Longer than the silence that the connection which was cut would have been allowed.
    await sleep(SILENT_MS + 500);
    const answers: unknown[] = [readyAfterCut, await redis.ping()];
    proxy.strand();
    const unheard = redis.ping().catch(() => undefined);
    await new Promise((resolve) => redis.once('ready', resolve));
    await unheard;
    answers.push(await redis.ping());
    await proxy.stop();
    return answers;
  }

  it('is made anew, and the one that follows stays', async () => {
    const seen = await Promise.all(
      [
        moneyConnection,
        blockingConnection,
        (url: string, silentMaxMs: number) => new Redis(workerConnectionOptions(url, silentMaxMs)),
      ].map(broken),
    );
    expect(seen).toEqual([
      [1, 'PONG', 'PONG'],
      [1, 'PONG', 'PONG'],
      // BullMQ's own, which breaks once more.
      [2, 'PONG', 'PONG'],
    ]);
  });

  it('is given fifteen seconds of silence', () => {
    const money15 = connect(money.url);
    const blocking = blockingConnection(money.url);
    opened.push(blocking);
    expect([
      money15.options.socketTimeout,
      blocking.options.socketTimeout,
      workerConnectionOptions(money.url).socketTimeout,
    ]).toEqual([15_000, 15_000, 15_000]);
  });
});

/** Counts what it writes to its socket from now on. */
async function countedWrites(redis: Redis): Promise<() => number> {
  await whenReady(redis);
  const socket = (redis as unknown as { stream: Record<'_write' | '_writev', (...args: unknown[]) => unknown> }).stream;
  let writes = 0;
  for (const way of ['_write', '_writev'] as const) {
    const write = socket[way].bind(socket);
    socket[way] = (...args) => {
      writes++;
      return write(...args);
    };
  }
  return () => writes;
}

describe('what one turn sends', () => {
  it('leaves in one write, and is answered in its order', async () => {
    const redis = connect(money.url);
    const writes = await countedWrites(redis);
    // What other sockets' answers set off comes later in the same turn.
    const later = nextTick()
      .then(nextTick)
      .then(() => redis.echo('d'));
    expect(await Promise.all([...['a', 'b', 'c'].map((text) => redis.echo(text)), later])).toEqual([
      'a',
      'b',
      'c',
      'd',
    ]);
    expect(writes()).toBe(1);
  });

  it('leaves with the jobs and scripts that are gathered until its end, behind what was sent before them', async () => {
    const redis = connect(money.url);
    await whenReady(redis);
    const queue = new Queue<string[]>('one-write', { connection: redis, prefix: '{dp}:queue' });
    await queue.waitUntilReady();
    const record = defineScript(redis, 'record-event');
    const events = (text: string): Promise<unknown> =>
      record([redisKeys.audit, redisKeys.auditBytes], [JSON.stringify({ id: text }), '']);
    await events('the library is there now');
    const jobs = new TickBatch<string, unknown>(5, async (texts) => {
      const job = queue.add('texts', texts);
      return Promise.all(texts.map(() => job));
    });
    const writes = await countedWrites(redis);
    const order: string[] = [];
    const told = (name: string) => () => void order.push(name);
    await Promise.all([
      redis.echo('a').then(told('echo')),
      events('first').then(told('script')),
      jobs.add('b').then(told('job')),
      jobs.add('c').then(told('job')),
    ]);
    expect(writes()).toBe(1);
    expect(order).toEqual(['echo', 'script', 'job', 'job']);
    await queue.obliterate();
  });
});
