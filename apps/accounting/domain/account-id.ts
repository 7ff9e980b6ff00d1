import { createHash, randomInt } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_CHARACTERS = 20;
const KEY_ID = /^key_[0-9A-Za-z]{20}$/;

const random = (length = RANDOM_CHARACTERS): string =>
  Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');

/** So many characters that follow from the text. */
function derived(text: string): string {
  let rest = BigInt(`0x${createHash('sha256').update(text).digest('hex')}`);
  return Array.from({ length: RANDOM_CHARACTERS }, () => {
    const digit = rest % BigInt(ALPHABET.length);
    rest /= BigInt(ALPHABET.length);
    return ALPHABET[Number(digit)];
  }).join('');
}

export const newCampaignId = (): string => `cmp_${random()}`;
export const newKeyId = (): string => `key_${random()}`;
export const isKeyId = (text: string): boolean => KEY_ID.test(text);

export const newLinkId = (): string => `lnk_${random()}`;
export const newCodeId = (): string => `cod_${random()}`;
export const newWaitingId = (): string => `wtl_${random()}`;
export const newClaimantId = (): string => `vis_${random()}`;
/** 71 random bits. */
export const newLinkToken = (): string => random(12);

/** One claim makes one key, however often it comes: both ids follow from what names the claim. */
export const claimIdOf = (claim: string): string => `clm_${derived(`claim:${claim}`)}`;
export const keyIdOfClaim = (claim: string): string => `key_${derived(`key:${claim}`)}`;
