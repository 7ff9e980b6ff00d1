import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { functionName } from '#libs/redis/scripts.js';
import { Arena } from './arena.js';
import { expectLeavingIsHeard, expectNoHoles, expectOnly, LATER, LOST, rebuilds, under } from './outage.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

/** What goes over the wire for it. */
const NEXT_CALLS = functionName('next-calls');

describe('Redis', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start();
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  scenario(11, 'kill -9 of Redis under load', {}, async () => {
    const before = await rebuilds(arena);
    const { outcomes, streams, figures } = await under(arena, async () => {
      await arena.daypass.redis.kill();
      await sleep(1_000);
      await arena.daypass.redis.start();
    });
    expectOnly(outcomes, LATER);
    expect(streams.map(({ done }) => done)).toEqual(Array(5).fill(true));
    expectNoHoles(streams);
    return `${figures}; ${(await rebuilds(arena)) - before} rebuilds; ${await arena.holds()}`;
  });

  scenario(12, 'Redis away for 60 s', {}, async () => {
    const visitor = await arena.key();
    const { outcomes, streams, figures } = await under(
      arena,
      async () => {
        // It goes at the worst moment: a dispatch is recorded, and its worker does not hear of it.
        await arena.daypass.redisProxy!.dropReplyTo(NEXT_CALLS, () => arena.daypass.redisProxy!.refuse());
        await sleep(30_000);
        expect(tally([await arena.call(visitor)]).codes).toEqual(['503 recovering']);
        await sleep(30_000);
        arena.daypass.redisProxy!.heal();
      },
      { streamSeconds: 20 },
    );
    // A call that waited for its lane when Redis went away has waited longer than it may.
    expectOnly(outcomes, [...LATER, '429 queue_full']);
    // The upstream went on meanwhile: what it said is shown now.
    expect(streams.map(({ done }) => done)).toEqual(Array(5).fill(true));
    expectNoHoles(streams);
    return `${figures}; ${await arena.holds()}`;
  });

  scenario(13, "the AOF's tail cut", {}, async () => {
    let lost = '';
    const before = await rebuilds(arena);
    const { outcomes, streams, figures } = await under(arena, async () => {
      await arena.daypass.redis.kill();
      // More than the ledger's drains gather at a time: with less, what it has not seen is all that is gone, and nothing is to rebuild.
      const size = arena.daypass.redis.cutTail(150_000);
      await arena.daypass.redis.start();
      lost = `the last 150 of ${Math.round(size / 1_000)} kB lost`;
    });
    expectOnly(outcomes, [...LATER, LOST]);
    expectNoHoles(streams);
    const rebuilt = (await rebuilds(arena)) - before;
    expect(rebuilt).toBeGreaterThan(0);
    return `${lost}, ${rebuilt} rebuilds from the ledger; ${figures}; ${await arena.holds()}`;
  });

  scenario(14, 'FLUSHALL', {}, async () => {
    const before = await rebuilds(arena);
    const { outcomes, streams, figures } = await under(arena, async () => {
      await arena.redis.flushall();
    });
    expectOnly(outcomes, [...LATER, LOST]);
    expectNoHoles(streams);
    expect(await rebuilds(arena)).toBeGreaterThan(before);
    return `${figures}; ${await arena.holds()}`;
  });

  scenario(15, 'Redis out of memory', {}, async () => {
    const { outcomes, streams, figures } = await under(arena, async () => {
      await arena.redis.config('SET', 'maxmemory', '1mb');
      await sleep(4_000);
      await arena.redis.config('SET', 'maxmemory', '0');
    });
    expectOnly(outcomes, LATER);
    expect(tally(outcomes).codes).not.toEqual([]);
    expectNoHoles(streams);
    return `${figures}; ${await arena.holds()}`;
  });

  scenario(26, 'connections to Redis that stand and pass nothing', {}, async () => {
    const { outcomes, streams, figures } = await under(
      arena,
      () => Promise.resolve(arena.daypass.redisProxy!.strand()),
      {
        streamSeconds: 30,
      },
    );
    // A call that waited for its lane meanwhile has waited longer than it may.
    expectOnly(outcomes, [...LATER, '429 queue_full']);
    expect(streams.map(({ done }) => done)).toEqual(Array(5).fill(true));
    expectNoHoles(streams);
    await expectLeavingIsHeard(arena);
    return `${figures}; ${await arena.holds()}`;
  });
});
