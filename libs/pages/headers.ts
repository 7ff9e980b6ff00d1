/** Of every page: nothing of another host, no script in the page itself, and no page of others around it. */
const BASE =
  "default-src 'none'; script-src 'self'; worker-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const COMMON = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** The visitors' pages need no style of their own at run time, and no text becomes a script. `daypass` is for the worker's address. */
export const VISITORS_HEADERS: Readonly<Record<string, string>> = {
  ...COMMON,
  'content-security-policy': `${BASE}; style-src 'self'; require-trusted-types-for 'script'; trusted-types daypass`,
};

/** Of `/claim.js`, which pages of every origin import, also those that let in nothing of others by themselves. */
export const EMBED_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'cross-origin',
};

/** Of the console's files. */
export const CONSOLE_HEADERS: Readonly<Record<string, string>> = {
  ...COMMON,
  'content-security-policy': `${BASE}; style-src 'self'`,
};

/** Of the console's shell. Mantine puts style elements into the page, each with the nonce of the shell. */
export const consoleHeaders = (nonce: string): Readonly<Record<string, string>> => ({
  ...COMMON,
  'content-security-policy': `${BASE}; style-src 'self' 'nonce-${nonce}'`,
});
