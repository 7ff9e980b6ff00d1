import { beforeEach, describe, expect, it } from '@jest/globals';
import { insist, mended } from './insist.js';

describe('insisting', () => {
  let attempts: number[];
  /** Fails so often, then succeeds; notes when it was tried. */
  const work = (failures: number) => async (): Promise<string> => {
    attempts.push(Math.round(performance.now()));
    if (attempts.length <= failures) throw new Error(`failure ${attempts.length}`);
    return 'done';
  };

  beforeEach(() => {
    attempts = [];
  });

  it('does once what succeeds at once', async () => {
    expect(await insist(work(0), 0)).toBe('done');
    expect(attempts).toHaveLength(1);
  });

  it('tries again with growing pauses until it is done', async () => {
    expect(await insist(work(3), 10_000)).toBe('done');
    const pauses = attempts.slice(1).map((atMs, index) => atMs - attempts[index]!);
    expect(pauses).toHaveLength(3);
    for (const [index, leastMs] of [50, 100, 200].entries()) {
      expect(pauses[index]).toBeGreaterThanOrEqual(leastMs - 5);
      // The next pause would be twice as long; a machine that stands still for a moment makes any pause longer.
      expect(pauses[index]).toBeLessThan(leastMs + 1_000);
    }
  });

  it('gives up with the last error before its patience would be over, and leaves nothing behind', async () => {
    await expect(insist(work(Infinity), 300)).rejects.toThrow('failure 3');
    // At 0, 50 and 150 ms; the fourth would come at 350.
    expect(attempts).toHaveLength(3);
  });

  it('never tries again without patience', async () => {
    await expect(insist(work(1), 0)).rejects.toThrow('failure 1');
    expect(attempts).toHaveLength(1);
  });
});

describe('an answer of a script', () => {
  it.each([true, 0, { code: 'started' }, { outcome: 'applied' }])('is passed on: %p', (answer) => {
    expect(mended(answer)).toBe(answer);
  });

  it.each(['recovering', { code: 'recovering' }, { outcome: 'recovering', state: '' }])(
    'that says that Redis is being mended is asked for again: %p',
    (answer) => {
      expect(() => mended(answer)).toThrow('being mended');
    },
  );
});
