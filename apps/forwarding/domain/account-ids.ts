/** Whether a text stands in the visitor's own request. */
export type IsTheirs = (text: string) => boolean;

export const nobodys: IsTheirs = () => false;

const REMOVED = '[removed]';
/** Longer errors are cut first, so that cleaning takes bounded time. */
const READ_MAX = 20_000;

/** Words that begin like an id of the account's: its organisation, projects, keys, users and requests. */
const ID =
  /(?<![A-Za-z0-9_])(org|proj|sk|user|key|req|asst|acct|svcacct|sess|rk|pk|ek)([-_])([A-Za-z0-9*•.…-][A-Za-z0-9_*•.…-]{2,300})/g;
const UUID = /(?<![A-Za-z0-9-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![A-Za-z0-9-])/gi;
/** Hosts inside the operator's network: an address in numbers, or a name that no public server has. */
const HOST =
  /\b(?:https?:\/\/)?(?:\d{1,3}(?:\.\d{1,3}){3}|(?:localhost|[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,5}\.(?:local|internal|lan|intranet|svc|localdomain))(?![\w-]))(?::\d{1,5})?(?:\/[\w./-]{0,200})?/gi;

/** The account's names of itself: shorter ids of these are taken out, too. */
const OWN = new Set(['org', 'proj', 'sk', 'acct', 'svcacct', 'rk', 'pk', 'ek']);
const OWN_ID_MIN = 6;
const ID_MIN = 16;
/** Providers show their own keys with stars or dots in the middle: `sk-abc***xyz`. */
const MASKED = /[*•…]|\.{3}/;

/**
 * Takes the ids of the operator's account and the hosts of its network out of a text. It keeps what the visitor wrote.
 * It also keeps words that only begin alike (`user_name`, `key_points`): an id has random characters behind its prefix.
 */
export function withoutIds(text: string, isTheirs: IsTheirs): string {
  const kept = (found: string): string => (isTheirs(found) ? found : REMOVED);
  return text
    .slice(0, READ_MAX)
    .replace(ID, (found: string, prefix: string, _: string, rest: string) => {
      // A full stop or a comma after an id is no part of it.
      const end = /[.…-]*$/.exec(MASKED.test(rest) ? '' : found)![0];
      const id = found.slice(0, found.length - end.length);
      return isId(prefix, rest.slice(0, rest.length - end.length)) ? `${kept(id)}${end}` : found;
    })
    .replace(UUID, kept)
    .replace(HOST, kept);
}

function isId(prefix: string, rest: string): boolean {
  if (MASKED.test(rest)) return true;
  const [random] = rest.split(/[^A-Za-z0-9]+/).toSorted((one, other) => other.length - one.length);
  if (random!.length < (OWN.has(prefix) ? OWN_ID_MIN : ID_MIN)) return false;
  // Digits among letters, or capitals inside of a long word: no word of a language is written so.
  return /\d/.test(rest) || (random!.length >= ID_MIN && /[a-z]/.test(random!) && /[A-Z]/.test(random!.slice(1)));
}
