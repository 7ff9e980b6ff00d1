import { createHmac, type KeyObject } from 'node:crypto';

const DAY_MS = 86_400_000;
const TAG_CHARACTERS = 22;
const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

/**
 * Whom a request comes from. Each trusted proxy adds the address of its caller at the end of `x-forwarded-for`. So the
 * outermost one wrote the entry that is `hops` from the right. The visitor may have made up what stands further left.
 * `peer`: the other end of the connection.
 */
export function clientAddress(forwardedFor: string | string[] | undefined, peer: string, hops: number): string {
  if (hops === 0) return peer;
  const seen = String(forwardedFor ?? '')
    .split(',')
    .map((entry) => withoutPort(entry.trim()))
    .slice(-hops);
  const [outermost = ''] = seen;
  return networkOf(outermost) === null ? peer : outermost;
}

/** What one visitor has of the internet: an IPv4 address, or the /64 of an IPv6 address; null: it is no address. */
export function networkOf(address: string): string | null {
  if (IPV4.test(address)) return address;
  const groups = groupsOf(address);
  if (groups === null) return null;
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped)
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 0xff])
      .join('.');
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`;
}

/** Stands for an address within one day. Nobody can turn it back into the address, or find it again on another day. */
export function addressTag(address: string, pepper: KeyObject, nowMs: number): string {
  const salt = createHmac('sha256', pepper)
    .update(`day ${Math.floor(nowMs / DAY_MS)}`)
    .digest();
  return createHmac('sha256', salt)
    .update(networkOf(address) ?? address)
    .digest('base64url')
    .slice(0, TAG_CHARACTERS);
}

/** A tag stands for another address from then on. */
export const tagEndsInMs = (nowMs: number): number => DAY_MS - (nowMs % DAY_MS);

/** Some proxies write `203.0.113.7:1234` or `[2001:db8::1]:1234`. */
function withoutPort(entry: string): string {
  return /^\[(.+)\](:\d+)?$/.exec(entry)?.[1] ?? /^([\d.]+):\d+$/.exec(entry)?.[1] ?? entry;
}

/** The eight groups of an IPv6 address; null: it is none. */
function groupsOf(address: string): number[] | null {
  const [bare = ''] = address.split('%', 1);
  if (!bare.includes(':') || !URL.canParse(`http://[${bare}]`)) return null;
  // The URL writes it in hexadecimal, with one `::` for its longest run of zeros.
  const [before = '', after] = new URL(`http://[${bare}]`).hostname.slice(1, -1).split('::');
  const read = (text: string): number[] =>
    text
      .split(':')
      .filter(Boolean)
      .map((group) => parseInt(group, 16));
  const [head, tail] = [read(before), read(after ?? '')];
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}
