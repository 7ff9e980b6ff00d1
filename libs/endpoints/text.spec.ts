import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cutAt } from './text.js';

/** Whole and half pairs among letters. */
const units = fc
  .array(fc.constantFrom('a', 'é', '😀', '\ud83d', '\ude00'), { maxLength: 30 })
  .map((all) => all.join(''));

describe('a text', () => {
  it('is cut before a pair, not in the middle of it', () => {
    expect([0, 1, 2, 3, 4].map((index) => cutAt('a😀b', index))).toEqual([0, 1, 1, 3, 4]);
  });

  it('is cut where it was asked for, or one earlier, and both parts keep their code points', () => {
    fc.assert(
      fc.property(units, fc.nat(60), (text, at) => {
        const index = cutAt(text, Math.min(at, text.length));
        expect(Math.min(at, text.length) - index).toBeLessThanOrEqual(1);
        expect([...text.slice(0, index), ...text.slice(index)]).toEqual([...text]);
      }),
    );
  });

  it('is cut at its ends, and between halves that make no pair', () => {
    expect([cutAt('', 0), cutAt('😀', 2), cutAt('\ude00\ud83d', 1), cutAt('\ud83da', 1)]).toEqual([0, 2, 1, 1]);
  });
});
