import { describe, expect, it } from '@jest/globals';
import { createSecretKey } from 'node:crypto';
import { promptCacheKey } from './prompt-cache-key.js';

const PEPPER = createSecretKey('pepper', 'utf8');
const keyOf = (visitorId: string, named?: string): string => promptCacheKey(visitorId, named, PEPPER);

describe("a visitor's prompt cache key", () => {
  it('is stable, and differs by visitor and by what the visitor calls it', () => {
    const keys = [keyOf('anna'), keyOf('berta'), keyOf('anna', 'docs'), keyOf('berta', 'docs'), keyOf('anna', '')];
    expect(new Set(keys).size).toBe(5);
    expect(keyOf('anna', 'docs')).toBe(keys[2]);
  });

  it('reveals nothing, and fits whatever the visitor calls it', () => {
    const key = keyOf('anna', 'x'.repeat(100_000));
    expect(key).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(key).not.toContain('anna');
  });
});
