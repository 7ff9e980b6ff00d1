import { describe, expect, it } from '@jest/globals';
import { sectionsOf } from './text-sections.js';
import { judgementOf } from './verdict.js';

const result = (score: number, flagged = false) => ({
  flagged,
  categories: { violence: flagged, illicit: null },
  category_scores: { violence: score, illicit: null },
});

describe('a verdict', () => {
  it("takes the model's own flag where the policy names no threshold", () => {
    expect(judgementOf([result(0.2), result(0.9, true)], { thresholds: {} })).toEqual({
      flagged: true,
      categories: ['violence'],
      scores: { violence: 0.9 },
    });
  });

  it('goes by the threshold alone where there is one, in both directions', () => {
    expect(judgementOf([result(0.5)], { thresholds: { violence: 0.4 } }).flagged).toBe(true);
    expect(judgementOf([result(0.5, true)], { thresholds: { violence: 0.6 } }).flagged).toBe(false);
  });

  it("counts the model's flag beside a threshold that only a key added", () => {
    expect(judgementOf([result(0.5, true)], { thresholds: { violence: 0.6 }, flagsToo: ['violence'] }).flagged).toBe(
      true,
    );
  });

  it('passes when nothing was there to judge', () => expect(judgementOf([], { thresholds: {} }).flagged).toBe(false));
});

describe('a long text', () => {
  it('is judged in sections that overlap, so that nothing hides at a cut', () => {
    for (const at of [0, 7_990, 8_000, 15_790, 20_000]) {
      const text = `${'x'.repeat(at)}MARKED PHRASE${'y'.repeat(20_000)}`;
      expect(sectionsOf(text).some((section) => section.includes('MARKED PHRASE'))).toBe(true);
    }
    expect(sectionsOf('')).toEqual([]);
  });
});
