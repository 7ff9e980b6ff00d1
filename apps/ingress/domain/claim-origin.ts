import type { IncomingHttpHeaders } from 'node:http';

/**
 * Whether a page may send this claim. Browsers say where a request comes from: `sec-fetch-site` over HTTPS and on
 * localhost, `origin` everywhere. A page of Daypass' own address may, and pages of the link's origins. A program that is
 * no browser has neither header, and may.
 */
export function mayClaimFrom(headers: IncomingHttpHeaders, origins: readonly string[]): boolean {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin') return true;
  if (origin === undefined) return site === undefined;
  if (origins.includes(origin)) return true;
  // Without TLS a browser has no `sec-fetch-site`. A proxy may end TLS, so that the scheme does not count.
  return site === undefined && host !== undefined && URL.canParse(origin) && new URL(origin).host === host;
}
