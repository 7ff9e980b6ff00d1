import { describe, expect, it } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import { MemoryRoom } from './memory.room.js';

const MIB = 1_048_576;
const nobody = new AbortController().signal;

describe('the room for large answers', () => {
  const room = (): MemoryRoom => new MemoryRoom({ ofKey: 4 * MIB, all: 8 * MIB });
  const begun: string[] = [];
  /** Work that goes on until it is ended. */
  const work = (of: MemoryRoom, name: string, key: string, mib: number, signal = nobody) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = of.within(key, mib * MIB, signal, async () => {
      begun.push(name);
      await promise;
      return name;
    });
    done.catch(() => undefined);
    return { done, end: resolve };
  };
  const begunNow = async (): Promise<string[]> => {
    await turn();
    return begun.splice(0);
  };

  it('is bounded for each key and in all, and keys with the least in it go first', async () => {
    const of = room();
    const a = [1, 2, 3, 4].map((n) => work(of, `a${n}`, 'a', 2));
    const b = [1, 2].map((n) => work(of, `b${n}`, 'b', 2));
    const c = work(of, 'c1', 'c', 2);
    expect(await begunNow()).toEqual(['a1', 'a2', 'b1', 'b2']);
    a[0]!.end();
    expect(await begunNow()).toEqual(['c1']);
    c.end();
    expect(await begunNow()).toEqual(['a3']);
    for (const one of [...a, ...b]) one.end();
    await Promise.all([...a, ...b, c].map(({ done }) => done));
    expect(await begunNow()).toEqual(['a4']);
  });

  it('takes no account of small answers, and has a place for one that is larger than a key’s share', async () => {
    const of = room();
    const whole = work(of, 'whole', 'a', 6);
    const small = work(of, 'small', 'a', 0.4);
    const next = work(of, 'next', 'a', 1);
    expect(await begunNow()).toEqual(['small', 'whole']);
    whole.end();
    expect(await begunNow()).toEqual(['next']);
    for (const one of [small, next]) one.end();
    await next.done;
  });

  it('has the place of one that gave up waiting for those behind it', async () => {
    const of = room();
    const first = work(of, 'first', 'a', 2);
    const left = new AbortController();
    const large = work(of, 'large', 'b', 8, left.signal);
    const behind = work(of, 'behind', 'c', 1);
    expect(await begunNow()).toEqual(['first']);
    left.abort(new Error('the visitor left'));
    await expect(large.done).rejects.toThrow('the visitor left');
    expect(await begunNow()).toEqual(['behind']);
    for (const one of [first, behind]) one.end();
    await behind.done;
  });

  it('has a place for one that is larger than all of it, alone', async () => {
    const of = room();
    const huge = work(of, 'huge', 'a', 10);
    const next = work(of, 'next', 'b', 1);
    expect(await begunNow()).toEqual(['huge']);
    huge.end();
    expect(await begunNow()).toEqual(['next']);
    next.end();
    await next.done;
  });

  it('is left by whoever gives up waiting, and by work that fails', async () => {
    const of = room();
    const first = work(of, 'first', 'a', 4);
    const left = new AbortController();
    const waiting = work(of, 'waiting', 'a', 4, left.signal);
    left.abort(new Error('the visitor left'));
    await expect(waiting.done).rejects.toThrow('the visitor left');
    await expect(of.within('b', 4 * MIB, nobody, () => Promise.reject(new Error('it broke off')))).rejects.toThrow(
      'broke',
    );
    first.end();
    expect(await begunNow()).toEqual(['first']);
    const [third, fourth] = [work(of, 'third', 'b', 4), work(of, 'fourth', 'a', 4)];
    expect(await begunNow()).toEqual(['third', 'fourth']);
    for (const one of [third, fourth]) one.end();
  });
});
