import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { functionName } from '#libs/redis/scripts.js';
import { LONG } from '../at-rest.js';
import { Arena, type Outcome } from './arena.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

/** What a visitor may be told while Redis is away or is being mended: to come again, nothing was charged. */
const LATER = ['503 overloaded', '503 recovering'];
/** What else where Redis lost something: the call was sent, and its answer is gone. */
const LOST = '502 upstream_outcome_unknown';
/** What goes over the wire for it. */
const NEXT_CALLS = functionName('next-calls');
const words = (count: number): string => Array.from({ length: count }, (_, index) => `w${index} `).join('');

interface Story {
  outcomes: Outcome[];
  streams: Outcome[];
  figures: string;
}

describe('Redis', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start();
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  /** Calls come while it happens, and five streams run through it. Counts from the end of the fault until calls are answered again. */
  async function under(fault: () => Promise<void>, { streamSeconds = 8 } = {}): Promise<Story> {
    const key = await arena.key('20.00');
    arena.daypass.rehearsal.onChat = (body) =>
      body.stream ? { content: words(10 * streamSeconds), tokensPerSecond: 10 } : { firstTokenMs: 200 };
    const running = Array.from({ length: 5 }, () => arena.call(key, { stream: true, max_tokens: 20 * streamSeconds }));
    await arena.upstreamRuns(5);
    const load = arena.load(key, 8);
    const answered = (): number => load.outcomes.filter(({ status }) => status === 200).length;
    await arena.until(() => answered() >= 60, 'calls are answered');
    await fault();
    const [goneAt, before] = [performance.now(), answered()];
    try {
      // More than were on their way when it happened.
      await arena.until(() => answered() > before + 8, 'I: calls are answered again', 30_000);
    } catch (error) {
      throw new Error(`${(error as Error).message}; ${tally(await load.stop()).text}`);
    }
    const back = (performance.now() - goneAt) / 1_000;
    await sleep(1_000);
    const outcomes = await load.stop();
    const streams = await Promise.all(running);
    arena.daypass.rehearsal.onChat = undefined;
    const whole = streams.filter(({ done }) => done).length;
    return {
      outcomes,
      streams,
      figures: `${tally(outcomes).text}; ${whole} of 5 streams whole; calls again after ${back.toFixed(1)} s`,
    };
  }

  const expectOnly = (outcomes: readonly Outcome[], allowed: readonly string[]): void =>
    expect(tally(outcomes).codes.filter((code) => !allowed.includes(code))).toEqual([]);

  /** A stream ends whole, or says that a part of it was lost: never with a hole. */
  const expectNoHoles = (streams: readonly Outcome[]): void => {
    for (const { status, done, code, text } of streams) {
      if (!done) {
        expect(LOST).toContain(code);
        continue;
      }
      const shown = [...text.matchAll(/"content":"\s?(w\d+)\s?"/g)].map(([, word]) => word).join(' ');
      expect([status, shown]).toEqual([200, words(shown.split(' ').length).trim()]);
    }
  };

  scenario(11, 'kill -9 of Redis under load', {}, async () => {
    const before = await rebuilds();
    const { outcomes, streams, figures } = await under(async () => {
      await arena.daypass.redis.kill();
      await sleep(1_000);
      await arena.daypass.redis.start();
    });
    expectOnly(outcomes, LATER);
    expect(streams.map(({ done }) => done)).toEqual(Array(5).fill(true));
    expectNoHoles(streams);
    return `${figures}; ${(await rebuilds()) - before} rebuilds; ${await arena.holds()}`;
  });

  scenario(12, 'Redis away for 60 s', {}, async () => {
    const visitor = await arena.key();
    const { outcomes, streams, figures } = await under(
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
    const before = await rebuilds();
    const { outcomes, streams, figures } = await under(async () => {
      await arena.daypass.redis.kill();
      // More than the ledger's drains gather at a time: with less, what it has not seen is all that is gone, and nothing is to rebuild.
      const size = arena.daypass.redis.cutTail(150_000);
      await arena.daypass.redis.start();
      lost = `the last 150 of ${Math.round(size / 1_000)} kB lost`;
    });
    expectOnly(outcomes, [...LATER, LOST]);
    expectNoHoles(streams);
    const rebuilt = (await rebuilds()) - before;
    expect(rebuilt).toBeGreaterThan(0);
    return `${lost}, ${rebuilt} rebuilds from the ledger; ${figures}; ${await arena.holds()}`;
  });

  scenario(14, 'FLUSHALL', {}, async () => {
    const before = await rebuilds();
    const { outcomes, streams, figures } = await under(async () => {
      await arena.redis.flushall();
    });
    expectOnly(outcomes, [...LATER, LOST]);
    expectNoHoles(streams);
    expect(await rebuilds()).toBeGreaterThan(before);
    return `${figures}; ${await arena.holds()}`;
  });

  scenario(15, 'Redis out of memory', {}, async () => {
    const { outcomes, streams, figures } = await under(async () => {
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
    const { outcomes, streams, figures } = await under(() => Promise.resolve(arena.daypass.redisProxy!.strand()), {
      streamSeconds: 30,
    });
    // A call that waited for its lane meanwhile has waited longer than it may.
    expectOnly(outcomes, [...LATER, '429 queue_full']);
    expect(streams.map(({ done }) => done)).toEqual(Array(5).fill(true));
    expectNoHoles(streams);
    const visitor = await arena.key();
    arena.daypass.rehearsal.onChat = () => ({ content: LONG, tokensPerSecond: 100 });
    const leave = new AbortController();
    const left = arena.call(visitor, { stream: true, max_tokens: 4_000, signal: leave.signal });
    await arena.upstreamRuns(1);
    leave.abort();
    await left;
    await arena.until(() => arena.upstream.every(({ state }) => state !== 'running'), 'a leaving is heard again');
    arena.daypass.rehearsal.onChat = undefined;
    return `${figures}; ${await arena.holds()}`;
  });

  const rebuilds = async (): Promise<number> => {
    const text = await (await fetch(`${arena.daypass.opsUrls.accounting}/metrics`)).text();
    return Number(/^daypass_rebuilds_total\S* (\d+)$/m.exec(text)?.[1] ?? 0);
  };
});
