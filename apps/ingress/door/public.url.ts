import type { IncomingHttpHeaders } from 'node:http';

/** What a `Host` header may be where it becomes part of an address. */
const HOST = /^([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?$/i;

interface Addresses {
  publicUrl: string | undefined;
  visitors: { port: number; proxyHops: number };
}

/** The origin under which this visitor reaches Daypass: the operator's, or the one that the request names. */
export function publicUrlOf(headers: IncomingHttpHeaders, { publicUrl, visitors }: Addresses): string {
  if (publicUrl !== undefined) return publicUrl;
  const { host = '' } = headers;
  if (!HOST.test(host)) return `http://localhost:${visitors.port}`;
  const isTls = visitors.proxyHops > 0 && headers['x-forwarded-proto'] === 'https';
  return `${isTls ? 'https' : 'http'}://${host.toLowerCase()}`;
}
