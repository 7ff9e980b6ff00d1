import type { IncomingHttpHeaders } from 'node:http';

/**
 * The origin of the page of another site that sent this; undefined: a page of Daypass' own address did, or a program.
 * Browsers say where a request comes from: `sec-fetch-site` over HTTPS and on localhost, `origin` everywhere, except
 * with most requests that only read.
 */
export function foreignOriginOf(headers: IncomingHttpHeaders): string | undefined {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (origin === undefined || site === 'same-origin') return undefined;
  // Without TLS a browser has no `sec-fetch-site`. A proxy may end TLS, so that the scheme does not count.
  const isOwn = site === undefined && host !== undefined && URL.canParse(origin) && new URL(origin).host === host;
  return isOwn ? undefined : origin;
}

/** Whether a page may send this claim: one of Daypass' own address, or of the link's origins. A program may. */
export function mayClaimFrom(headers: IncomingHttpHeaders, origins: readonly string[]): boolean {
  const origin = foreignOriginOf(headers);
  if (origin !== undefined) return origins.includes(origin);
  const site = headers['sec-fetch-site'];
  return headers.origin !== undefined || site === undefined || site === 'same-origin';
}

/** Whether a page may read about a link. What a browser opens or shows by itself has no `origin`. */
export function mayReadFrom(headers: IncomingHttpHeaders, origins: readonly string[]): boolean {
  const origin = foreignOriginOf(headers);
  return origin === undefined || origins.includes(origin);
}
