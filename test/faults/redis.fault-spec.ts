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
    // While the disk is slow, Redis answers before it writes (`flushAppendOnlyFile` of its aof.c: for two seconds at most).
    expectOnly(outcomes, [...LATER, LOST]);
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
    let lost = 0;
    const before = await rebuilds(arena);
    const { outcomes, streams, figures } = await under(arena, async () => {
      const mark = await arena.mark();
      const booked = await arena.booked();
      // With less than the ledger has seen of it, nothing is to rebuild.
      await arena.until(async () => (await arena.booked()) > booked + 20, 'the ledger has seen what will be lost');
      await arena.daypass.redis.kill();
      lost = arena.daypass.redis.cutFrom(mark);
      await arena.daypass.redis.start();
    });
    expectOnly(outcomes, [...LATER, LOST]);
    expectNoHoles(streams);
    const rebuilt = (await rebuilds(arena)) - before;
    expect(rebuilt).toBeGreaterThan(0);
    return `the last ${Math.round(lost / 1_000)} kB lost, ${rebuilt} rebuilds from the ledger; ${figures}; ${await arena.holds()}`;
  });

  scenario(43, 'a tail cut that the ledger has not seen', {}, async () => {
    let lost = 0;
    const { outcomes, streams, figures } = await under(arena, async () => {
      arena.daypass.services.kill('accounting', 'SIGSTOP');
      const mark = await arena.mark();
      await sleep(500);
      await arena.daypass.redis.kill();
      // A call is sent, and its hold knows nothing of it.
      lost = arena.daypass.redis.cutFrom(mark, 'dispatch');
      await arena.daypass.redis.start();
      arena.daypass.services.kill('accounting', 'SIGCONT');
    });
    expectOnly(outcomes, [...LATER, LOST]);
    expectNoHoles(streams);
    return `${Math.round(lost / 1_000)} kB lost from a dispatch on; ${figures}; ${await arena.holds()}`;
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
