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
});
