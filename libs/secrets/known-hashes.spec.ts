import { createHmac, createSecretKey } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { knownHash } from './known-hashes.js';

describe('knownHash', () => {
  it('is the HMAC of the id under its own pepper, the first time and later, also when it was forgotten', () => {
    const [one, two] = [createSecretKey(Buffer.from('one')), createSecretKey(Buffer.from('two'))];
    const fresh = (id: string, pepper: string) => createHmac('sha256', pepper).update(id).digest('base64url');
    for (let i = 0; i < 2; i++) {
      expect(knownHash('a', one)).toBe(fresh('a', 'one'));
      expect(knownHash('a', two)).toBe(fresh('a', 'two'));
    }
    for (let i = 0; i < 10_001; i++) expect(knownHash(`id ${i}`, one)).toBe(fresh(`id ${i}`, 'one'));
    expect(knownHash('a', one)).toBe(fresh('a', 'one'));
  });
});
