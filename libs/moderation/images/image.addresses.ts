import { BlockList, isIP } from 'node:net';

/** Addresses that are not public: IANA's registries of special addresses, and the metadata server of Azure. */
const NOT_PUBLIC = new BlockList();
for (const range of [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
]) {
  const [address, bits] = range.split('/') as [string, string];
  NOT_PUBLIC.addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
/** All other addresses of IPv6 are local, translated or unassigned. */
const GLOBAL = new BlockList();
GLOBAL.addSubnet('2000::', 3, 'ipv6');

/** Names that only a private network knows (RFC 6761, RFC 6762 G, RFC 8375, ICANN's `internal`, Kubernetes' `svc`). */
const PRIVATE_NAME = /(^|\.)(localhost|local|internal|intranet|private|corp|home|lan|home\.arpa|svc)$/;
const PORTS = new Set(['80', '443']);

/** Denied by address, whatever its range says. */
export const DENIED_ADDRESSES = ['168.63.129.16'];

export type AddressFault = 'malformed' | 'not_public' | 'port';

/** Decides which addresses an image may have. Says nothing of what a name resolves to. */
export class ImageAddresses {
  private readonly allowed: ReadonlySet<string>;

  /** `hostsAllowed`: `host:port`, which need not be public. */
  constructor(hostsAllowed: readonly string[]) {
    this.allowed = new Set(hostsAllowed);
  }

  /** Why nobody fetches it; null: it may be an image's. */
  fault(url: string): AddressFault | null {
    if (!URL.canParse(url)) return 'malformed';
    const parsed = new URL(url);
    if (!/^https?:$/.test(parsed.protocol)) return 'malformed';
    if (this.isAllowed(parsed)) return null;
    if (!isPublicHost(parsed.hostname)) return 'not_public';
    return PORTS.has(portOf(parsed)) ? null : 'port';
  }

  isAllowed(url: URL): boolean {
    return this.allowed.has(`${url.hostname}:${portOf(url)}`);
  }
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === 'https:' ? '443' : '80');
}

/** `hostname`: as a URL has it, so that all forms of one address look the same. */
function isPublicHost(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$|\.+$/g, '');
  if (isIP(name) !== 0) return isPublicAddress(name);
  return name.includes('.') && !PRIVATE_NAME.test(name);
}

/** `address`: an address of IPv4 or IPv6, without brackets. Says no of anything else. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !NOT_PUBLIC.check(address);
    case 6:
      return GLOBAL.check(address, 'ipv6') && !NOT_PUBLIC.check(address, 'ipv6');
    default:
      return false;
  }
}
