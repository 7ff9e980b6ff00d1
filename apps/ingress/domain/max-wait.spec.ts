import { describe, expect, it } from '@jest/globals';
import { maxWaitOf } from './max-wait.js';

describe('x-daypass-max-wait-ms', () => {
  it('is the default when it is not given, and may be none at all', () => {
    expect(maxWaitOf(undefined, 30_000)).toBe(30_000);
    expect(maxWaitOf('0', 30_000)).toBe(0);
  });

  it.each(['-1', '1e3', '1.5', 'soon', '', '600001', '99999999999'])('refuses %p', (header) => {
    expect(() => maxWaitOf(header, 30_000)).toThrow(/whole number of milliseconds/);
  });
});
