import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import {
  startCluster,
  startNamedPair,
  startSentinelPair,
  type RedisCluster,
  type RedisPair,
} from '#libs/testing/redis-groups.js';
import { until } from '#libs/testing/until.js';
import { Arena } from './arena.js';
import { expectLeavingIsHeard, expectNoHoles, expectOnly, LATER, LOST, rebuilds, under } from './outage.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

/** More than the ledger's drains gather at a time: with less, what it has not seen is all that is gone. */
const MISSING_BYTES = 200_000;

/** Resolves when the replica lacks so much of what the primary has taken. Returns how much. */
async function missing({ primary, replica }: RedisPair): Promise<string> {
  const offsets = async (): Promise<[number, number]> => {
    const told = await Promise.all([primary, replica].map(({ redis }) => redis.info('replication')));
    return told.map((text) => Number(/^(?:master|slave)_repl_offset:(\d+)/m.exec(text)![1])) as [number, number];
  };
  const from = (await offsets())[1];
  let lacks = 0;
  await until('the replica lacks entries', async () => (lacks = (await offsets())[0] - from) > MISSING_BYTES);
  return `${Math.round(lacks / 1_000)} kB missing`;
}

describe('a replica that Sentinel promotes', () => {
  let pair: RedisPair;
  let arena: Arena;
  beforeAll(async () => {
    pair = await startSentinelPair();
    arena = await Arena.start({ redis: pair });
  }, 90_000);
  afterAll(() => arena?.stop());

  scenario(40, 'kill -9 of a primary, whose replica lacks entries', {}, async () => {
    let lacks = '';
    const before = await rebuilds(arena);
    const { outcomes, streams, figures } = await under(arena, async () => {
      await pair.cutReplication();
      lacks = await missing(pair);
      await pair.primary.kill();
    });
    // A call that waited for its lane meanwhile has waited longer than it may.
    expectOnly(outcomes, [...LATER, LOST, '429 queue_full']);
    expectNoHoles(streams);
    const rebuilt = (await rebuilds(arena)) - before;
    expect(rebuilt).toBeGreaterThan(0);
    expect(await arena.redis.info('server')).toContain(`tcp_port:${pair.replica.port}`);
    return `${lacks}, ${rebuilt} rebuilds from the ledger; ${figures}; ${await arena.holds()}`;
  });
});

describe('a replica that is promoted behind one name', () => {
  let pair: Awaited<ReturnType<typeof startNamedPair>>;
  let arena: Arena;
  beforeAll(async () => {
    pair = await startNamedPair();
    arena = await Arena.start({ redis: pair });
  }, 90_000);
  afterAll(() => arena?.stop());

  scenario(41, 'a name moves to a replica that lacks entries; the former primary lives', {}, async () => {
    const { primary, replica, name } = pair;
    let lacks = '';
    const before = await rebuilds(arena);
    const { outcomes, streams, figures } = await under(arena, async () => {
      await pair.cutReplication();
      lacks = await missing(pair);
      await replica.redis.replicaof('NO', 'ONE');
      name.retarget(replica.port);
      // No connection breaks: who writes is told that this is a replica now.
      await primary.redis.replicaof('127.0.0.1', replica.port);
    });
    expectOnly(outcomes, [...LATER, LOST, '429 queue_full']);
    expectNoHoles(streams);
    const rebuilt = (await rebuilds(arena)) - before;
    expect(rebuilt).toBeGreaterThan(0);
    expect(await replica.redis.info('replication')).toContain('role:master');
    await expectLeavingIsHeard(arena);
    return `${lacks}, ${rebuilt} rebuilds from the ledger; ${figures}; ${await arena.holds()}`;
  });
});

describe('a cluster', () => {
  const ACCOUNTS = ['north', 'south'] as const;
  let cluster: RedisCluster;
  let arenas: Arena[] = [];
  beforeAll(async () => {
    cluster = await startCluster();
    arenas = await Promise.all(
      ACCOUNTS.map((account) =>
        Arena.start({
          redis: { redisUrl: cluster.redisUrl, stop: () => Promise.resolve() },
          env: { DAYPASS_ACCOUNT: account },
        }),
      ),
    );
  }, 120_000);
  afterAll(async () => {
    await Promise.all(arenas.map((arena) => arena.stop()));
    await cluster?.stop();
  });
  afterEach(() => arenas.forEach((arena) => arena.clear()));

  scenario(42, "a cluster loses the node of one account's money, for a while", {}, async () => {
    const [north, south] = arenas as [Arena, Arena];
    const [lost, other] = await Promise.all(ACCOUNTS.map((account) => cluster.nodeOf(`{dp:${account}}`)));
    expect(lost).not.toBe(other);
    const key = await south.key('20.00');
    const beside = south.load(key, 2);
    const { outcomes, streams, figures } = await under(north, async () => {
      await lost!.kill();
      await until(
        'the cluster misses the node',
        async () => /cluster_slots_fail:[1-9]/.test(String(await other!.redis.call('CLUSTER', 'INFO'))),
        30_000,
      );
      const answered = beside.outcomes.length;
      await south.until(() => beside.outcomes.length > answered + 4, 'the other account is served');
      await lost!.start();
    });
    expectOnly(outcomes, [...LATER, '429 queue_full']);
    expectNoHoles(streams);
    // The other account felt nothing.
    const theirs = tally(await beside.stop());
    expect(theirs.codes).toEqual([]);
    for (const [index, node] of [lost, other].entries()) {
      const tags = (await node!.redis.keys('*')).map((key) => key.slice(0, key.indexOf('}') + 1));
      expect([...new Set(tags)]).toEqual([`{dp:${ACCOUNTS[index]}}`]);
    }
    return `${figures}; the other account: ${theirs.text}; ${await north.holds()}; ${await south.holds()}`;
  });
});
