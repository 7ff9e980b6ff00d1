import { describe, expect, it } from '@jest/globals';
import { queueFull } from './queue-refusals.js';

describe('a full lane', () => {
  it.each([
    [200, '1000', 'true'],
    [59_900, '59900', 'true'],
    // A lane's window is a little longer than its minute, and clients do not wait for longer than a minute.
    [60_750, '60000', 'true'],
    [90_000, '90000', 'false'],
  ])('says after %d ms of wait to come again in %s ms, and whether clients should: %s', (waitMs, afterMs, retry) => {
    expect(queueFull(waitMs).headers()).toMatchObject({ 'retry-after-ms': afterMs, 'x-should-retry': retry });
  });

  it('counts what the call may wait for', () => {
    expect(queueFull(20_000, 15_000).retryAfterMs).toBe(5_000);
  });
});
