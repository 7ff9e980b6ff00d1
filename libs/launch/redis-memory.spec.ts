import { describe, expect, it } from '@jest/globals';
import { redisMemoryOf, redisMemoryOfMachine } from './redis-memory.js';

const GB = 2 ** 30;

describe('the memory of a Redis of our own', () => {
  it.each([
    ['a quarter of the machine', 8 * GB, 0, 2 * GB],
    ['a quarter of what limits the process', 64 * GB, 4 * GB, GB],
    ['a quarter of the machine where the limit is none', 8 * GB, 2 ** 63, 2 * GB],
    ['not less than 256 MB', GB / 2, 0, GB / 4],
    ['not more than 4 GB', 64 * GB, 0, 4 * GB],
  ])('is %s', (_, machine, constrained, bytes) => expect(redisMemoryOf(machine, constrained)).toBe(bytes));

  it('fits this machine', () => {
    expect(redisMemoryOfMachine()).toBeGreaterThanOrEqual(GB / 4);
    expect(redisMemoryOfMachine()).toBeLessThanOrEqual(4 * GB);
  });
});
