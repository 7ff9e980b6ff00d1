import { describe, expect, it } from '@jest/globals';
import { FairQueue } from './fair.queue.js';

describe('a fair queue', () => {
  it('lets keys take turns, each in its own order', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'b2']) queue.add(item[0]!, item);
    expect([queue.size, queue.sizeOf('a'), queue.sizeOf('z')]).toEqual([6, 3, 0]);
    const taken = Array.from({ length: 7 }, () => queue.take());
    expect(taken).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', undefined]);
    expect([queue.size, queue.heads()]).toEqual([0, []]);
  });

  it('passes over keys whose first item may not go, and they keep their turns', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'b1', 'b2']) queue.add(item[0]!, item);
    const notA = (item: string): boolean => item[0] !== 'a';
    expect([queue.take(notA), queue.take(notA), queue.take(notA), queue.take()]).toEqual(['b1', 'b2', undefined, 'a1']);
  });

  it('gives back what was taken too early, and forgets what nobody waits for', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'b1']) queue.add(item[0]!, item);
    queue.putBack('a', queue.take()!);
    expect(queue.heads()).toEqual(['b1', 'a1']);
    expect([queue.remove('a', 'a1'), queue.remove('a', 'a1'), queue.remove('b', 'b1')]).toEqual([true, false, true]);
    expect([queue.size, queue.take(), queue.take()]).toEqual([1, 'a2', undefined]);
  });
});
