import { expect, it } from '@jest/globals';
import { pauseUntilStep } from './periodic.js';

it('wakes loops of the same pause together, whenever their work ended', () => {
  expect([10_000, 10_001, 10_400].map((nowMs) => nowMs + pauseUntilStep(1_000, nowMs))).toEqual([
    11_000, 11_000, 11_000,
  ]);
  expect(10_400 + pauseUntilStep(500, 10_400)).toBe(11_000);
});

it('leaves at least half of the pause after long work', () => {
  expect(pauseUntilStep(1_000, 10_501)).toBe(1_499);
  expect(pauseUntilStep(1_000, 10_999)).toBe(1_001);
});

it('leaves long pauses as they are: the next start of an hourly loop is an hour later', () => {
  expect(pauseUntilStep(3_600_000, 3_599_999)).toBe(3_600_000);
});
