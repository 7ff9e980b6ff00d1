import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { TickBatch } from './tick-batch.js';

describe('a tick batch', () => {
  it('hands on together what arrives within a turn, at most so many, each with its own result', async () => {
    const flushed: number[][] = [];
    const batch = new TickBatch<number, number>(3, async (items) => {
      flushed.push(items);
      return items.map((item) => item * 10);
    });
    expect(await Promise.all([1, 2, 3, 4].map((item) => batch.add(item)))).toEqual([10, 20, 30, 40]);
    expect(await batch.add(5)).toBe(50);
    expect(flushed).toEqual([[1, 2, 3], [4], [5]]);
  });

  it('fails only the items of the batch that failed', async () => {
    const batch = new TickBatch<number, number>(1, async ([item]) => {
      if (item === 2) throw new Error('no');
      return [item!];
    });
    const ends = await Promise.allSettled([1, 2, 3].map((item) => batch.add(item)));
    expect(ends.map((end) => end.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('fails rather than mixing up results when their number is wrong', async () => {
    const batch = new TickBatch<number, number>(5, async () => [1]);
    const ends = await Promise.allSettled([batch.add(1), batch.add(2)]);
    expect(ends.map((end) => end.status)).toEqual(['rejected', 'rejected']);
  });

  it('hands on one batch at a time where it is told to, and everything that came meanwhile with the next', async () => {
    const flushed: number[][] = [];
    const ends: (() => void)[] = [];
    const batch = new TickBatch<number, void>(
      10,
      async (items) => {
        flushed.push(items);
        await new Promise<void>((resolve) => ends.push(resolve));
        return items.map(() => undefined);
      },
      true,
    );
    const first = batch.add(1);
    await turn();
    const others = [batch.add(2), batch.add(3)];
    await turn();
    expect(flushed).toEqual([[1]]);
    ends.shift()!();
    await first;
    // What this one is about leaves in a later turn than the batch.
    const last = batch.add(4);
    await turn();
    expect(flushed).toEqual([[1], [2, 3]]);
    ends.shift()!();
    await Promise.all(others);
    await turn();
    expect(flushed).toEqual([[1], [2, 3], [4]]);
    ends.shift()!();
    await last;
  });

  it('goes on after one that failed', async () => {
    let fails = true;
    const batch = new TickBatch<number, number>(
      5,
      (items) => (fails ? Promise.reject(new Error('no')) : Promise.resolve(items)),
      true,
    );
    const failing = batch.add(1);
    await turn();
    const second = batch.add(2);
    fails = false;
    await expect(failing).rejects.toThrow('no');
    expect(await second).toBe(2);
  });
});
