import { randomInt } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_CHARACTERS = 20;
const KEY_ID = /^key_[0-9A-Za-z]{20}$/;

const random = (): string =>
  Array.from({ length: RANDOM_CHARACTERS }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');

export const newCampaignId = (): string => `cmp_${random()}`;
export const newKeyId = (): string => `key_${random()}`;
export const isKeyId = (text: string): boolean => KEY_ID.test(text);
