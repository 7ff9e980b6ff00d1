import { HELP, HELP_OF_PROVIDERS, PROVIDERS_OWN, statusOf, type Help } from '#libs/contracts/help.js';
import type { ErrorCode } from '#libs/contracts/errors.js';

export interface Entry {
  /** Its place on the page. */
  id: string;
  name: string;
  /** Of the answer; null: any. */
  status: number | null;
  help: Help;
}

/** By their codes; what is not in the catalogue comes last. */
export const ENTRIES: readonly Entry[] = [
  ...(Object.keys(HELP) as ErrorCode[])
    .sort()
    .map((code) => ({ id: code, name: code, status: statusOf(code), help: HELP[code] })),
  { id: PROVIDERS_OWN, name: 'A code of the provider’s own', status: null, help: HELP_OF_PROVIDERS },
];

/** Those that hold each word of a search. */
export function matching(search: string): readonly Entry[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return ENTRIES.filter(({ name, status, help }) => {
    const text = `${name} ${status ?? ''} ${help.what} ${help.now}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
