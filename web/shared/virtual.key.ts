const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;
const KEY_LENGTH = 'dp_'.length + SECRET_LENGTH + CHECKSUM_LENGTH;

/** What is wrong with a typed or pasted virtual key, or null. The page finds it out without asking anybody. */
export function mistakeIn(key: string): string | null {
  if (key === '') return 'Paste your key first.';
  if (!key.startsWith('dp_')) return 'A Daypass key begins with dp_. This is another kind of key.';
  if (key.length !== KEY_LENGTH) {
    const which = key.length < KEY_LENGTH ? 'too short' : 'too long';
    return `This key is ${which}: it has ${key.length} characters, and a key has ${KEY_LENGTH}. Copy all of it.`;
  }
  const secret = key.slice(3, 3 + SECRET_LENGTH);
  if (![...key.slice(3)].every((one) => ALPHABET.includes(one)) || checksum(secret) !== key.slice(3 + SECRET_LENGTH))
    return 'This key is mistyped: its checksum does not fit. Copy it again from where you got it.';
  return null;
}

/** The part of a key that may stand on a screen. */
export const visiblePrefix = (key: string): string => key.slice(0, 9);

function checksum(secret: string): string {
  let rest = crc32(secret);
  let text = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    text = ALPHABET[rest % ALPHABET.length] + text;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return text;
}

/** CRC-32 as zlib has it (IEEE 802.3), of ASCII. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let i = 0; i < text.length; i++) {
    crc ^= text.charCodeAt(i);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
