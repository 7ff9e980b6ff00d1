import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { Money } from '#libs/holds/money.fixture.js';
import { defineBinaryScript, defineScript, functionName, type Script } from './scripts.js';

const LIFE_MS = 60_000;

describe('scripts', () => {
  let money: Money;
  let redis: Redis;
  /** Keeps one verdict of a hash, in a bucket. */
  let keep: (bucket: string, hash?: string) => Promise<unknown>;
  beforeAll(async () => {
    money = await Money.start();
    redis = money.redis;
    const script = defineScript(redis, 'keep-verdicts');
    keep = (bucket, hash = 'h') => script([bucket, `${bucket}-shares`], [LIFE_MS, 100, 100, hash, 'pass', 'k']);
  });
  beforeEach(() => redis.flushall());
  afterAll(() => money.stop());

  const steps = async (): Promise<number> =>
    Number(/cmdstat_fcall:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
  const libraries = async (): Promise<string[]> =>
    ((await redis.call('FUNCTION', 'LIST')) as string[][]).map((list) => list[list.indexOf('library_name') + 1]!);

  it('that are called in one tick are one step, and each gets its own answer', async () => {
    await keep('before');
    const before = await steps();
    const answers = await Promise.all([keep('a'), keep('a'), keep('b'), keep('a', 'other')]);
    expect([answers, (await steps()) - before]).toEqual([[1, 0, 1, 1], 1]);
  });

  it('of one step fail each for itself', async () => {
    await redis.set('wrong', 'a string');
    const answers = await Promise.allSettled([keep('a'), keep('wrong'), keep('b')]);
    expect(answers).toMatchObject([
      { value: 1 },
      { reason: { message: expect.stringMatching(/^WRONGTYPE/) } },
      { value: 1 },
    ]);
    expect(await redis.hlen('b')).toBe(1);
  });

  it('fail alone where an argument is none', async () => {
    const answers = await Promise.allSettled([keep('a'), keep('b', null as never), keep('c')]);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('leave in further steps where they are many, or large', async () => {
    await keep('before');
    const before = await steps();
    await Promise.all(Array.from({ length: 70 }, (_, index) => keep('a', String(index))));
    expect((await steps()) - before).toBe(3);
    const large = 'x'.repeat(200_000);
    await Promise.all([keep('b', `${large}1`), keep('b', `${large}2`), keep('b')]);
    expect((await steps()) - before).toBe(5);
    expect([await redis.hlen('a'), await redis.hlen('b')]).toEqual([70, 3]);
  });

  it('answer nothing where they return nothing, and buffers where they are asked to', async () => {
    const forget = defineScript(redis, 'forget-kept');
    const nothing = (): Promise<unknown> => forget(['kept', 'bytes'], ['prefix:']);
    expect([await nothing(), ...(await Promise.all([nothing(), nothing()]))]).toEqual([null, null, null]);
    const read = defineBinaryScript(redis, 'read-link');
    const link = (): Promise<unknown> => read(['epoch', 'link', 'switch', 'claim'], ['run', 'campaign:', 'window:']);
    for (const answer of [await link(), ...(await Promise.all([link(), link()]))])
      expect((answer as Buffer[])[0]).toEqual(Buffer.from('closed'));
  });

  it('are loaded again where Redis has lost them, once for all that miss them', async () => {
    await redis.call('FUNCTION', 'FLUSH');
    const tell = defineScript(redis, 'count-kept');
    const count = (): Promise<unknown> => tell(['kept', 'bytes'], ['prefix:']);
    expect(await Promise.all([keep('a'), keep('a', 'other'), count()])).toEqual([1, 1, 0]);
    const loads = /cmdstat_function\|load:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1];
    await keep('a');
    expect(/cmdstat_function\|load:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]).toBe(loads);
  });

  it('run in a full Redis that lost them, where they may', async () => {
    const may: Script = defineScript(redis, 'count-kept');
    await redis.call('FUNCTION', 'FLUSH');
    await redis.config('SET', 'maxmemory', '1');
    try {
      const count = (): Promise<unknown> => may(['kept', 'bytes'], ['prefix:']);
      expect([await count(), ...(await Promise.all([count(), count()]))]).toEqual([0, 0, 0]);
      await expect(keep('a')).rejects.toThrow('OOM');
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    expect([await keep('a'), await redis.exists('a')]).toEqual([1, 1]);
  });

  it('of other versions stand beside them, and leave when they are many', async () => {
    const other = async (name: string): Promise<unknown> =>
      redis.call(
        'FUNCTION',
        'LOAD',
        `#!lua name=${name}\nredis.register_function('${name}_f', function() return 1 end)`,
      );
    await redis.call('FUNCTION', 'FLUSH');
    await other('of_another_product');
    await other('daypass_former');
    await keep('a');
    const own = functionName('keep-verdicts').replace('_keep_verdicts', '');
    expect((await libraries()).toSorted()).toEqual(['daypass_former', own, 'of_another_product'].toSorted());
    await redis.call('FUNCTION', 'DELETE', own);
    for (const name of ['daypass_2', 'daypass_3', 'daypass_4']) await other(name);
    await keep('a');
    expect((await libraries()).toSorted()).toEqual([own, 'of_another_product'].toSorted());
  });
});
