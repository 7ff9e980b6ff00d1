import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Arena } from './arena.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

const WORDS = Array.from({ length: 120 }, (_, index) => `w${index} `).join('');

describe('Redis', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start();
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  /** Calls of every kind: short ones, and streams that are under way when it happens. */
  const traffic = async () => {
    const key = await arena.key('20.00');
    arena.daypass.rehearsal.onChat = (body) => (body.stream === true ? { content: WORDS, tokensPerSecond: 30 } : { firstTokenMs: 50 });
    const short = arena.load(key, 8);
    const streams = arena.load(key, 4, { stream: true, max_tokens: 300 });
    await arena.until(() => short.outcomes.length > 30, 'traffic flows');
    return async () => {
      const outcomes = (await Promise.all([short.stop(), streams.stop()])).flat();
      arena.daypass.rehearsal.onChat = undefined;
      return outcomes;
    };
  };

  /** Seconds until a fresh call succeeds under the load, which ends then. */
  const backThenQuiet = async (stop: () => Promise<unknown>): Promise<number> => {
    try {
      return await arena.back();
    } finally {
      await stop();
    }
  };

  scenario(11, 'kill -9 of Redis under load', {}, async () => {
    const stop = await traffic();
    await arena.daypass.redis.kill();
    await sleep(2_000);
    await arena.daypass.redis.start();
    const figures = await backThenQuiet(stop);
    return `${tally(await stop()).text}; back in ${figures.toFixed(1)} s; ${await arena.holds()}`;
  });

  scenario(12, 'Redis away for 60 s', {}, async () => {
    const stop = await traffic();
    arena.daypass.redisProxy!.refuse();
    await sleep(60_000);
    arena.daypass.redisProxy!.heal();
    const figures = await backThenQuiet(stop);
    return `${tally(await stop()).text}; back in ${figures.toFixed(1)} s; ${await arena.holds()}`;
  });

  scenario(13, "the append-only file's tail cut", {}, async () => {
    const stop = await traffic();
    await arena.daypass.redis.kill();
    const bytes = 60_000;
    const size = arena.daypass.redis.cutTail(bytes);
    await arena.daypass.redis.start();
    const figures = await backThenQuiet(stop);
    return `${bytes} of ${size} bytes cut, ${tally(await stop()).text}; back in ${figures.toFixed(1)} s; ${await arena.holds()}`;
  });

  scenario(14, 'FLUSHALL', {}, async () => {
    const stop = await traffic();
    await arena.redis.flushall();
    const figures = await backThenQuiet(stop);
    return `${tally(await stop()).text}; back in ${figures.toFixed(1)} s; ${await arena.holds()}`;
  });

  scenario(15, 'Redis out of memory', {}, async () => {
    const stop = await traffic();
    const info = await arena.redis.info('memory');
    const used = Number(/^used_memory:(\d+)/m.exec(info)![1]);
    await arena.redis.config('SET', 'maxmemory', String(Math.floor(used / 2)));
    await sleep(5_000);
    await arena.redis.config('SET', 'maxmemory', '0');
    const figures = await backThenQuiet(stop);
    const outcomes = await stop();
    expect(outcomes.some(({ status }) => status === 503)).toBe(true);
    return `${tally(outcomes).text}; back in ${figures.toFixed(1)} s; ${await arena.holds()}`;
  });
});
