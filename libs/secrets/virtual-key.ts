import { createHmac, randomInt, type KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;
const FORM = /^dp_([0-9A-Za-z]{32})([0-9A-Za-z]{6})$/;

/** `dp_` + 32 random base62 characters + 6 of checksum. Ingress refuses a mistyped key without asking Redis. */
export function createVirtualKey(): string {
  let secret = '';
  for (let i = 0; i < SECRET_LENGTH; i++) secret += ALPHABET[randomInt(ALPHABET.length)];
  return `dp_${secret}${checksum(secret)}`;
}

export function isWellFormed(token: string): boolean {
  const match = FORM.exec(token);
  return match !== null && checksum(match[1]!) === match[2];
}

/** The stored form of a key. Without the pepper nobody can guess or check a key by it. */
export function hashVirtualKey(token: string, pepper: KeyObject): string {
  return createHmac('sha256', pepper).update(token).digest('base64url');
}

/** The part of a key that lists may show. */
export const visiblePrefix = (token: string): string => token.slice(0, 9);

function checksum(secret: string): string {
  let rest = crc32(secret);
  let text = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    text = ALPHABET[rest % ALPHABET.length] + text;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return text;
}
