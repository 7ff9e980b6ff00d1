import { describe, expect, it } from '@jest/globals';
import { newRequestId } from './request-id.js';

describe('newRequestId', () => {
  it('begins with the time, and gives no id twice, however many it gives', () => {
    const sinceMs = Date.now();
    const ids = Array.from({ length: 2_000 }, newRequestId);
    expect(new Set(ids).size).toBe(2_000);
    // The random part alone, too: ids of one millisecond differ by nothing else.
    expect(new Set(ids.map((id) => id.slice(16))).size).toBe(2_000);
    for (const id of ids) {
      expect(id).toMatch(/^req_[0-9a-f]{32}$/);
      const ms = Number.parseInt(id.slice(4, 16), 16);
      expect(ms).toBeGreaterThanOrEqual(sinceMs);
      expect(ms).toBeLessThanOrEqual(Date.now());
    }
  });
});
