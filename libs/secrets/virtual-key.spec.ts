import { describe, expect, it } from '@jest/globals';
import { createSecretKey } from 'node:crypto';
import fc from 'fast-check';
import { createVirtualKey, hashVirtualKey, isWellFormed, visiblePrefix } from './virtual-key.js';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const keys = fc.constant(null).map(() => createVirtualKey());

describe('a virtual key', () => {
  it('is dp_, 32 base62 characters and 6 of checksum', () => {
    for (let i = 0; i < 200; i++) expect(createVirtualKey()).toMatch(/^dp_[0-9A-Za-z]{38}$/);
  });

  it('is another one every time, and well formed', () => {
    const made = Array.from({ length: 2_000 }, createVirtualKey);
    expect(new Set(made).size).toBe(2_000);
    expect(made.every(isWellFormed)).toBe(true);
  });

  it('uses the whole alphabet, so that 32 characters are worth 190 bits', () => {
    const seen = new Set(Array.from({ length: 500 }, () => createVirtualKey().slice(3, 35)).join(''));
    expect([...seen].sort().join('')).toBe(BASE62);
  });

  it('with one character changed is refused, wherever and whatever it is', () => {
    fc.assert(
      fc.property(keys, fc.nat(37), fc.constantFrom(...BASE62), (key, at, character) => {
        const position = 3 + at;
        fc.pre(key[position] !== character);
        expect(isWellFormed(key.slice(0, position) + character + key.slice(position + 1))).toBe(false);
      }),
      { numRuns: 5_000 },
    );
  });

  it('with two neighbours swapped is refused', () => {
    fc.assert(
      fc.property(keys, fc.nat(36), (key, at) => {
        const position = 3 + at;
        fc.pre(key[position] !== key[position + 1]);
        expect(isWellFormed(key.slice(0, position) + key[position + 1] + key[position] + key.slice(position + 2))).toBe(
          false,
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['nothing', () => ''],
    ['another prefix', (key: string) => `sk_${key.slice(3)}`],
    ['one character less', (key: string) => key.slice(0, -1)],
    ['one character more', (key: string) => `${key}0`],
    ['space around it', (key: string) => ` ${key}`],
    ['a line break at its end', (key: string) => `${key}\n`],
    ['a character outside base62', (key: string) => `${key.slice(0, 10)}é${key.slice(11)}`],
    ['a megabyte', (key: string) => key.repeat(25_000)],
  ])('is refused with %s', (_, change) => {
    expect(isWellFormed(change(createVirtualKey()))).toBe(false);
  });

  it('shows of itself no more than a sixth of its secret', () => {
    const key = createVirtualKey();
    expect(key.startsWith(visiblePrefix(key))).toBe(true);
    expect(visiblePrefix(key)).toHaveLength(9);
  });
});

describe('what is stored of a key', () => {
  const pepper = createSecretKey(Buffer.alloc(32, 1));

  it('is the same for the same key and pepper, and reveals nothing of the key', () => {
    const key = createVirtualKey();
    expect(hashVirtualKey(key, pepper)).toBe(hashVirtualKey(key, pepper));
    expect(hashVirtualKey(key, pepper)).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(hashVirtualKey(key, pepper)).not.toContain(key.slice(3, 9));
  });

  it('differs by pepper and by key', () => {
    const key = createVirtualKey();
    expect(hashVirtualKey(key, createSecretKey(Buffer.alloc(32, 2)))).not.toBe(hashVirtualKey(key, pepper));
    expect(hashVirtualKey(createVirtualKey(), pepper)).not.toBe(hashVirtualKey(key, pepper));
  });
});
