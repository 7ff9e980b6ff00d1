import { createSecretKey } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { CODE_CHARACTERS, CODE_LENGTH, readCode } from '#libs/contracts/claims.js';
import { createCode, hashCode, showCode } from './claim-code.js';

it('makes codes that people can type in any case and grouping, and that do not repeat', () => {
  const codes = Array.from({ length: 2_000 }, createCode);
  expect(new Set(codes).size).toBe(codes.length);
  for (const code of codes) {
    expect(code).toMatch(new RegExp(`^[${CODE_CHARACTERS}]{${CODE_LENGTH}}$`));
    expect(readCode(showCode(code).toLowerCase())).toBe(code);
  }
  expect(new Set(codes.join('')).size).toBe(CODE_CHARACTERS.length);
  expect(showCode('0123456789AB')).toBe('0123-4567-89AB');
});

it('hashes a code under its pepper', () => {
  const [one, other] = ['a', 'b'].map((text) => createSecretKey(Buffer.from(text.repeat(32))));
  expect(hashCode('0123456789AB', one!)).toMatch(/^[\w-]{43}$/);
  expect(hashCode('0123456789AB', one!)).not.toBe(hashCode('0123456789AB', other!));
  expect(hashCode('0123456789AB', one!)).not.toBe(hashCode('0123456789AC', one!));
});
