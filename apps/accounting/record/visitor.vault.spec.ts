import { inflateRawSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import type { DaypassConfig } from '#libs/config/config.js';
import { VisitorVault } from './visitor.vault.js';

const vault = new VisitorVault({ secrets: { auditKey: Buffer.alloc(32) } } as unknown as DaypassConfig);

describe('a content of the record', () => {
  it.each([
    ['nothing', ''],
    ['a short text', 'Say hello.'],
    ['characters of several bytes', '🙂é'.repeat(170)],
    ['the longest that is stored as it is', 'a'.repeat(512)],
    ['the shortest that is compressed', 'a'.repeat(513)],
    ['one that a thread compresses', 'long '.repeat(10_000)],
  ])('is read by whoever inflates it: %s', async (_, text) => {
    expect(inflateRawSync(await vault.compress(text)).toString()).toBe(text);
  });

  it('is stored as it is where it is short, and compressed where that saves much', async () => {
    expect(await vault.compress('é'.repeat(512))).toHaveLength(1_024 + 5);
    expect((await vault.compress('a'.repeat(513))).length).toBeLessThan(100);
  });
});
