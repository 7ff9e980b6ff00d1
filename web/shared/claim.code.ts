/** Crockford's characters, as libs/contracts/claims.ts has them. */
const CHARACTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
export const CODE_LENGTH = 12;

/** The characters of a code as somebody typed or pasted it: any case, any dashes and blanks, O for 0, I and L for 1. */
const charactersOf = (typed: string): string =>
  typed
    .toUpperCase()
    .replaceAll(/[^0-9A-Z]/g, '')
    .replaceAll('O', '0')
    .replaceAll(/[IL]/g, '1');

/** In groups of four: `7KQ2-M9XA-0R4T`. */
export const groupCode = (typed: string): string =>
  charactersOf(typed)
    .slice(0, CODE_LENGTH)
    .match(/.{1,4}/g)
    ?.join('-') ?? '';

/** What is wrong with a code, or null. */
export function mistakeInCode(typed: string): string | null {
  const code = charactersOf(typed);
  if (code === '') return 'Enter your code first. It stands on your card or in your message.';
  const strange = [...code].find((one) => !CHARACTERS.includes(one));
  if (strange !== undefined) return `No code has the character ${strange}. Look at your card again.`;
  if (code.length !== CODE_LENGTH) return `A code has ${CODE_LENGTH} characters, and this has ${code.length}.`;
  return null;
}
