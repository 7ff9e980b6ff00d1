/** Whether a text stands in the visitor's own request. */
export type IsTheirs = (text: string) => boolean;

export const nobodys: IsTheirs = () => false;

const REMOVED = '[removed]';
/** Longer errors are cut first, so that cleaning takes bounded time. */
const READ_MAX = 20_000;

/** Words that begin like an id of the account's: its organisation, projects, keys, users and requests. Any dash counts. */
const ID =
  /(?<![a-z0-9_])(org|proj|sk|user|key|req|asst|acct|svcacct|sess|rk|pk|ek)[-_\u2010-\u2015]([a-z0-9*•.…\u2010-\u2015-][\w*•.…\u2010-\u2015-]{2,300})/gi;
/** A fine-tuned model's name holds its organisation's (OpenAI, "Fine-tuning"). */
const FINE_TUNED = /(?<![\w-])ft:[\w.-]{1,100}(?::(?:[\w.-]{0,99}[\w-])?){1,4}/gi;
const UUID = /(?<![A-Za-z0-9-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![A-Za-z0-9-])/gi;
const URL_TEXT = /\b[a-z][a-z0-9+.-]{0,15}:\/\/([^\s'"`<>(){}/?#,;]{1,300})(?:[/?#][^\s'"`<>(){}]{0,500})?/gi;
/** Pages that providers send people to. */
const PUBLIC_HOST =
  /^((platform|help|status|developers|community)\.openai\.com|openai\.com|(learn|docs|go)\.microsoft\.com|aka\.ms|github\.com)[.:!?]?$/i;
/** Hosts inside the operator's network: an address in numbers, or a name that no public server has. */
const HOST =
  /\b(?:\d{1,3}(?:\.\d{1,3}){3}|(?:localhost|[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,5}\.(?:local|internal|lan|intranet|svc|localdomain))(?![\w-]))(?::\d{1,5})?(?:\/[\w./-]{0,200})?/gi;
const IPV6 = /(?<!\w)\[([0-9a-f:.]{2,45})(?:%\w{1,16})?\](?::\d{1,5})?(?:\/[\w./-]{0,200})?/gi;
/** Names of a customer's own at a cloud. */
const CLOUD_HOST =
  /(?<![\w.-])(?:[a-z0-9-]{1,63}\.){1,6}(?:azure\.com|azure-api\.net|azurewebsites\.net|azurecontainerapps\.io|windows\.net|amazonaws\.com|googleapis\.com|run\.app|workers\.dev|modal\.run|runpod\.net|ngrok\.(?:io|app|dev)|ngrok-free\.app|hf\.space|huggingface\.cloud|ts\.net)(?![\w-])(?::\d{1,5})?(?:\/[\w./-]{0,200})?/gi;
/** A name and a port. */
const HOST_PORT =
  /(?<![\w.-])([a-z][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,6}):(\d{2,5})(?!\w|[:.]\d)(?:\/[\w./-]{0,200})?/gi;
const PORT_MAX = 65_535;
/** A number behind one of these is no port. */
const COUNTED =
  /^(limit|limits|requested|used|remaining|max|min|maximum|minimum|tokens?|requests?|length|size|lines?|columns?|code|status|error|errno|position|offset|index|id|count|total|year|version|seed)$/i;

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
    .replace(ID, (found: string, prefix: string, rest: string) => {
      // A full stop or a comma after an id is no part of it.
      const end = /[.…\u2010-\u2015-]*$/.exec(MASKED.test(rest) ? '' : found)![0];
      const id = found.slice(0, found.length - end.length);
      return isId(prefix.toLowerCase(), rest.slice(0, rest.length - end.length)) ? `${kept(id)}${end}` : found;
    })
    .replace(FINE_TUNED, kept)
    .replace(URL_TEXT, (found: string, host: string) => {
      const end = /[.,;:!?]*$/.exec(found)![0];
      const origin = found.slice(0, found.indexOf('://') + 3) + host;
      return PUBLIC_HOST.test(host) || isTheirs(origin)
        ? found
        : `${kept(found.slice(0, found.length - end.length))}${end}`;
    })
    .replace(UUID, kept)
    .replace(IPV6, (found: string, address: string) => (URL.canParse(`http://[${address}]`) ? kept(found) : found))
    .replace(HOST, kept)
    .replace(CLOUD_HOST, kept)
    .replace(HOST_PORT, (found: string, name: string, port: string) => (isHost(name, port) ? kept(found) : found));
}

function isId(prefix: string, rest: string): boolean {
  if (MASKED.test(rest)) return true;
  const [random] = rest.split(/[^A-Za-z0-9]+/).toSorted((one, other) => other.length - one.length);
  if (random!.length < (OWN.has(prefix) ? OWN_ID_MIN : ID_MIN)) return false;
  // Digits among letters, or capitals inside of a long word: no word of a language is written so.
  return /\d/.test(rest) || (random!.length >= ID_MIN && /[a-z]/.test(random!) && /[A-Z]/.test(random!.slice(1)));
}

/** Times, ratios and counts look alike: the plainer the name, the more digits make a port. */
function isHost(name: string, port: string): boolean {
  if (Number(port) > PORT_MAX || COUNTED.test(name)) return false;
  if (name.includes('.')) return /\.[a-z][a-z0-9-]*$/i.test(name);
  return port.length >= (/[\d-]/.test(name) ? 3 : 4);
}
