import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { LargeAnswers } from './large.answers.js';

const LARGE = 1_000_000;
const WORK_MS = 20;

function work(): number {
  const untilMs = performance.now() + WORK_MS;
  while (performance.now() < untilMs);
  return performance.now();
}

describe('large answers', () => {
  it('are read one at a time, with four times as long for others between them', async () => {
    const large = new LargeAnswers();
    const ends = await Promise.all(Array.from({ length: 5 }, () => large.read('a', LARGE, work)));
    const pauses = ends.slice(1).map((end, index) => end - ends[index]! - WORK_MS);
    for (const pause of pauses) expect(pause).toBeGreaterThanOrEqual(4 * WORK_MS - 2);
  });

  it('hold up no small one', async () => {
    const large = new LargeAnswers();
    let read = 0;
    const reading = Array.from({ length: 5 }, () => large.read('a', LARGE, work).then(() => read++));
    await sleep(1);
    expect(await large.read('a', 1_000, () => 'small')).toBe('small');
    expect(read).toBeLessThan(5);
    await Promise.all(reading);
  });

  it('are read in turns of their keys', async () => {
    const large = new LargeAnswers();
    const seen: string[] = [];
    await Promise.all(['a', 'a', 'a', 'b'].map((key) => large.read(key, LARGE, () => seen.push(key))));
    expect(seen.indexOf('b')).toBeLessThan(3);
  });

  it('go on after one that cannot be read', async () => {
    const large = new LargeAnswers();
    const misshapen = large.read('a', LARGE, () => {
      throw new Error('no answer');
    });
    await expect(misshapen).rejects.toThrow('no answer');
    expect(await large.read('a', LARGE, () => 'read')).toBe('read');
  });
});
