import { pbkdf2 } from '@noble/hashes/pbkdf2.js';
import { sha256 } from '@noble/hashes/sha2.js';

/** In plain JavaScript: pages on `http://` by a LAN address have no `crypto.subtle`, and only they load this file. */
export const hashOf = (text: string): Uint8Array => sha256(new TextEncoder().encode(text));

export const derivedKey = (password: Uint8Array, salt: Uint8Array, iterations: number, bytes = 32): Uint8Array =>
  pbkdf2(sha256, password, salt, { c: iterations, dkLen: bytes });
