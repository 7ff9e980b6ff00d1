import { createHmac, randomInt, type KeyObject } from 'node:crypto';

/** Crockford's base 32, as `readCode` of libs/contracts reads it. */
const CHARACTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const LENGTH = 12;

/** 60 random bits. */
export function createCode(): string {
  return Array.from({ length: LENGTH }, () => CHARACTERS[randomInt(CHARACTERS.length)]).join('');
}

/** The only form of a code that is stored, and the `code_hash` of a claim. */
export function hashCode(code: string, pepper: KeyObject): string {
  return createHmac('sha256', pepper).update(code).digest('base64url');
}

/** As people read and type it: XXXX-XXXX-XXXX. */
export function showCode(code: string): string {
  return code.replaceAll(/(.{4})(?=.)/g, '$1-');
}
