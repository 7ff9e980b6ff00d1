import { describe, expect, it } from '@jest/globals';
import { gatherMs } from './gathering.js';

describe('the pause of a drain', () => {
  it.each([
    ['a person and a call', 3, 5_000, 100],
    ['one call after another', 24, 100, 400],
    ['some calls at a time', 60, 150, 320],
    ['a full house', 150, 100, 100],
    ['a rush', 999, 50, 100],
    ['the first batch after a silence', 20, 60_000, 400],
  ])('fits %s', (_, entries, withinMs, pauseMs) => {
    expect(gatherMs(entries, withinMs)).toBe(pauseMs);
  });

  it('settles where a batch costs least, and stays there', () => {
    let pauseMs = 100;
    for (let round = 0; round < 10; round++) pauseMs = gatherMs(0.6 * pauseMs, pauseMs);
    expect(pauseMs).toBeCloseTo(213.3, 1);
  });
});
