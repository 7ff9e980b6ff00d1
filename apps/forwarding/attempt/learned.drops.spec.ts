import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { LearnedDrops } from './learned.drops.js';

const DAY_MS = 86_400_000;

describe('parameters that an upstream refused', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('are left out for a day, of all models or of one', () => {
    const learned = new LearnedDrops();
    learned.add('store', undefined);
    learned.add('include', 'm');
    expect([learned.of('m'), learned.of('n')]).toEqual([['store', 'include'], ['store']]);
    jest.setSystemTime(Date.now() + DAY_MS - 1);
    learned.add('store', undefined);
    jest.setSystemTime(Date.now() + 1);
    expect([learned.of('m'), learned.of('n')]).toEqual([['store'], ['store']]);
  });

  it('are at most a thousand', () => {
    const learned = new LearnedDrops();
    for (let model = 0; model <= 1_000; model++) learned.add('include', `m${model}`);
    expect([learned.of('m0'), learned.of('m1'), learned.of('m1000')]).toEqual([[], ['include'], ['include']]);
  });
});
